//! Services and their operations: the numbers under which sets name them, and how many spans each has.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::SpanRow;

/// What a transaction knows of operations and changes in them: most of its spans are of a few.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Numbers by service, kind and name, in one text.
    numbers: HashMap<String, i64>,
    key: String,
    /// How many spans each operation gains or loses.
    spans: HashMap<i64, i64>,
}

impl Operations {
    /// The number of a span's operation, given when it is new.
    pub(super) fn number(&mut self, transaction: &Transaction<'_>, row: &SpanRow) -> rusqlite::Result<i64> {
        self.key.clear();
        // No kind is a character of a name, and a name that holds one is still behind the first.
        for part in [&*row.service, "\0", &row.operation] {
            self.key.push_str(part);
        }
        self.key.push(char::from(row.kind));
        if let Some(known) = self.numbers.get(&self.key) {
            return Ok(*known);
        }
        let number = number_of(transaction, &row.service, &row.operation, row.kind)?;
        self.numbers.insert(self.key.clone(), number);
        Ok(number)
    }

    pub(super) fn add(&mut self, operation: i64, spans: i64) {
        *self.spans.entry(operation).or_default() += spans;
    }

    /// An operation without spans goes, and with its last operation a service.
    pub(super) fn store(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (operation, spans) in self.spans {
            transaction
                .prepare_cached("UPDATE span_operations SET spans = spans + ?2 WHERE id = ?1")?
                .execute([operation, spans])?;
            if spans >= 0 {
                continue;
            }
            let service: Option<i64> = transaction
                .prepare_cached("DELETE FROM span_operations WHERE id = ?1 AND spans <= 0 RETURNING service")?
                .query_row([operation], |row| row.get(0))
                .optional()?;
            transaction
                .prepare_cached(
                    "DELETE FROM span_services
                     WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM span_operations WHERE service = ?1)",
                )?
                .execute([service])?;
        }
        Ok(())
    }
}

fn number_of(
    transaction: &Transaction<'_>,
    service: &str,
    operation: &str,
    kind: u8,
) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached("SELECT id FROM span_services WHERE name = ?1")?
        .query_row([service], |row| row.get(0))
        .optional()?;
    let service: i64 = match known {
        Some(id) => id,
        None => transaction
            .prepare_cached("INSERT INTO span_services (name) VALUES (?1) RETURNING id")?
            .query_row([service], |row| row.get(0))?,
    };
    let known = transaction
        .prepare_cached("SELECT id FROM span_operations WHERE service = ?1 AND name = ?2 AND kind = ?3")?
        .query_row(params![service, operation, kind], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => transaction
            .prepare_cached(
                "INSERT INTO span_operations (service, name, kind, spans) VALUES (?1, ?2, ?3, 0) RETURNING id",
            )?
            .query_row(params![service, operation, kind], |row| row.get(0)),
    }
}

/// What an operation's number stands for.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) service: std::sync::Arc<str>,
    pub(super) operation: String,
    pub(super) kind: u8,
}

/// Names of operations looked up by their numbers, within one transaction: later a number may be another's.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<i64, Option<Named>>);

impl Names {
    /// `None` for a number that nothing has.
    pub(super) fn of(&mut self, connection: &Connection, number: i64) -> rusqlite::Result<Option<&Named>> {
        let named = match self.0.entry(number) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(look_up(connection, number)?)
            }
        };
        Ok(named.as_ref())
    }
}

fn look_up(connection: &Connection, number: i64) -> rusqlite::Result<Option<Named>> {
    connection
        .prepare_cached(
            "SELECT v.name, o.name, o.kind FROM span_operations o JOIN span_services v ON v.id = o.service
             WHERE o.id = ?1",
        )?
        .query_row([number], |row| {
            let service: String = row.get(0)?;
            Ok(Named { service: service.into(), operation: row.get(1)?, kind: row.get(2)? })
        })
        .optional()
}
