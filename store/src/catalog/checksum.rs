//! Checksums of rows: SQLite has none, and a flipped bit in a position or a gap would go unseen.
//!
//! Each is the XXH3-64 of the row's columns in their order: numbers as 8 bytes, texts and bytes after their length, and
//! a byte 0 in the place of NULL, 1 before what is not.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3;

use crate::writer::{Container, Gap};

/// The checksum of the settings that never change; `None` in a folder that an early version made, which has no id.
pub(super) fn of_identity(settings: &HashMap<String, i64>) -> Option<i64> {
    let (window_ns, store_id) = (settings.get("window_ns")?, settings.get("store_id")?);
    Some(Sum::default().number(*window_ns).number(*store_id).end())
}

/// The checksum of a row of `streams`.
pub(super) fn of_stream(id: u64, labels: &[u8], min_ns: i64, max_ns: i64) -> i64 {
    Sum::default().number(id.cast_signed()).bytes(labels).number(min_ns).number(max_ns).end()
}

/// The checksum of a row of `cursors`.
pub(super) fn of_cursor(source: &str, position: Option<&[u8]>, covered_ns: Option<i64>) -> i64 {
    Sum::default().bytes(source.as_bytes()).optional_bytes(position).optional(covered_ns).end()
}

/// The checksum of a row of `gaps`, without its number.
pub(super) fn of_gap(gap: &Gap) -> i64 {
    Sum::default()
        .bytes(gap.source.as_bytes())
        .bytes(gap.name.as_bytes())
        .number(gap.from_ns)
        .number(gap.to_ns)
        .optional(gap.lines.map(u64::cast_signed))
        .bytes(gap.reason.name().as_bytes())
        .end()
}

/// The checksum of a row of `containers`.
pub(super) fn of_container(row: &Container) -> i64 {
    [&row.id, &row.name, &row.image, &row.service, &row.project, &row.state, &row.source]
        .into_iter()
        .fold(Sum::default(), |sum, text| sum.bytes(text.as_bytes()))
        .number(row.created_ns)
        .optional(row.started_ns)
        .optional(row.finished_ns)
        .optional(row.exit_code)
        .end()
}

#[derive(Default)]
struct Sum(Xxh3);

impl Sum {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn optional_bytes(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.update(&[u8::from(bytes.is_some())]);
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self,
        }
    }

    fn number(mut self, number: i64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn optional(mut self, number: Option<i64>) -> Self {
        self.0.update(&[u8::from(number.is_some())]);
        match number {
            Some(number) => self.number(number),
            None => self,
        }
    }

    fn end(self) -> i64 {
        self.0.digest().cast_signed()
    }
}
