//! Texts of several tables, numbered together: lines of blocks of different parts are then counted by the same numbers.
//!
//! The invariant: of the values of tables that know one union, two have one number exactly if they are equal. What numbers the
//! values of a table have is kept with the table, as part of its memory; a union itself holds on to no table.

use std::sync::{Arc, Weak};

use super::shared::Numbering;
use super::{Interner, Table};
use crate::block::wire::Malformed;

/// Most numbers of a union: each thread of a query that counts by them has eight bytes for each.
const MAX_NUMBERS: usize = 1 << 19;
/// Most bytes of its texts: they are in memory twice while they are numbered.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Union {
    tables: Vec<Weak<Table>>,
    /// All numbers are less.
    pub(crate) len: usize,
    /// Of the texts with a number.
    pub(crate) text_bytes: usize,
    /// Whether all tables are, see [`Table::is_plain`].
    pub(crate) is_plain: bool,
    /// Whether there was no room for some table.
    is_full: bool,
}

/// A table, and which numbers its values have in a union.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) table: Arc<Table>,
    pub(crate) union: Arc<Union>,
    /// By number in the table.
    pub(crate) numbers: Arc<[u32]>,
}

impl Union {
    /// Numbers `tables` together, as far as there is room for them; empty when there is not and that was known. What is found
    /// out is remembered with the tables. Those that were numbered together with some of them before are still so afterwards,
    /// as queries of longer and shorter times take turns.
    pub(crate) fn of(mut tables: Vec<Arc<Table>>) -> Result<Vec<Numbered>, Malformed> {
        // The largest has most of the texts of all others, in the order of their numbers.
        tables.sort_by_key(|table| (std::cmp::Reverse(table.values.len()), table_id(table)));
        tables.dedup_by_key(|table| table_id(table));
        let known: Vec<Numbered> = tables.iter().filter_map(Numbered::of).collect();
        if known.len() == tables.len()
            && known.iter().all(|numbered| Arc::ptr_eq(&numbered.union, &known[0].union))
        {
            return Ok(known);
        }
        if known.iter().any(|numbered| numbered.union.has_no_room()) {
            return Ok(Vec::new());
        }
        let asked = tables.len();
        for table in known.iter().flat_map(|numbered| &numbered.union.tables).filter_map(Weak::upgrade) {
            if tables.iter().all(|known| !Arc::ptr_eq(known, &table)) {
                tables.push(table);
            }
        }
        number_all(&tables, asked)
    }

    /// Whether there is no room for another table, and none of those in it has gone since that was found out.
    fn has_no_room(&self) -> bool {
        self.is_full && self.tables.iter().all(|table| table.strong_count() > 0)
    }
}

impl Numbered {
    /// What `table` knows.
    pub(crate) fn of(table: &Arc<Table>) -> Option<Self> {
        let Numbering { union, numbers } = table.numbering()?;
        Some(Self { table: Arc::clone(table), union, numbers })
    }
}

/// Numbers tables, the first `asked` of which are wanted.
fn number_all(tables: &[Arc<Table>], asked: usize) -> Result<Vec<Numbered>, Malformed> {
    let mut texts = Interner::default();
    let (mut fitting, mut is_full) = (Vec::with_capacity(tables.len()), false);
    for (at, table) in tables.iter().enumerate() {
        let before = texts.len();
        match numbers_of(table, &mut texts)? {
            Some(numbers) => fitting.push((table, numbers)),
            None => {
                texts.truncate(before);
                is_full |= at < asked;
            }
        }
    }
    let union = Arc::new(Union {
        tables: fitting.iter().map(|(table, _)| Arc::downgrade(table)).collect(),
        len: texts.len(),
        text_bytes: texts.texts().bytes().len(),
        is_plain: fitting.iter().all(|(table, _)| table.is_plain()),
        is_full,
    });
    let mut numbered = Vec::with_capacity(fitting.len());
    for (table, numbers) in fitting {
        let (table, union) = (Arc::clone(table), Arc::clone(&union));
        table.set_numbering(Numbering { union: Arc::clone(&union), numbers: Arc::clone(&numbers) });
        numbered.push(Numbered { table, union, numbers });
    }
    Ok(numbered)
}

/// The numbers of a table's values; `None` when there is no room for all.
fn numbers_of(table: &Table, texts: &mut Interner) -> Result<Option<Arc<[u32]>>, Malformed> {
    let (mut numbers, mut buffer) = (Vec::with_capacity(table.values.len()), Vec::new());
    for value in 0..table.values.len() {
        let text = table.get(value, &mut buffer)?;
        let has_room = texts.texts().bytes().len() + text.len() < MAX_TEXT_BYTES;
        let Some(number) = texts.number(text, if has_room { MAX_NUMBERS } else { 0 }) else {
            return Ok(None);
        };
        numbers.push(number);
    }
    Ok(Some(numbers.into()))
}

/// Tells a table from others as long as it lives.
fn table_id(table: &Arc<Table>) -> usize {
    Arc::as_ptr(table).addr()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::block::Lines;
    use crate::block::shapes::Column;
    use crate::block::shapes::texts::Texts;

    fn table(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Arc<Table> {
        let mut lines = Lines::default();
        values.into_iter().for_each(|value| lines.push(value.as_ref()));
        Arc::new(Table::new(Column::Text(Texts::from(lines))).unwrap())
    }

    fn are_one(numbered: &[Numbered]) -> bool {
        numbered.iter().all(|other| Arc::ptr_eq(&other.union, &numbered[0].union))
    }

    proptest! {
        #[test]
        fn equal_texts_have_equal_numbers_and_others_have_not(
            values in prop::collection::vec(prop::collection::btree_set("[ab]{0,3}", 0..9), 1..5),
            rounds in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..4), 1..5),
        ) {
            let tables: Vec<_> = values.iter().map(table).collect();
            for round in rounds {
                let asked: Vec<_> = round.iter().map(|at| Arc::clone(at.get(&tables))).collect();
                let numbered = Union::of(asked.clone()).unwrap();
                prop_assert!(are_one(&numbered));
                let is_numbered = |table| numbered.iter().any(|one| Arc::ptr_eq(&one.table, table));
                prop_assert!(asked.iter().all(is_numbered));
                // All that know the union, whoever asked for them.
                let all: Vec<_> = tables.iter().filter_map(Numbered::of).collect();
                let mut texts = BTreeMap::new();
                for Numbered { table, union, numbers } in &all {
                    prop_assert_eq!(numbers.len(), table.values.len());
                    for (value, number) in numbers.iter().enumerate() {
                        let text = table.get(value, &mut Vec::new()).unwrap().to_vec();
                        let id = (Arc::as_ptr(union).addr(), *number);
                        prop_assert!((*number as usize) < union.len);
                        prop_assert_eq!(texts.entry(id).or_insert_with(|| text.clone()), &text);
                    }
                }
                let mut distinct: Vec<_> = texts.iter().map(|((union, _), text)| (union, text)).collect();
                distinct.sort();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), texts.len(), "a text has two numbers");
            }
        }
    }

    #[test]
    fn tables_stay_together_when_fewer_or_more_are_asked_for() {
        let hex = Arc::new(Table::new(Column::Hex { digits: 2, bytes: vec![0x0a, 0xff] }).unwrap());
        let (first, second, third) = (table(["ff", "x"]), table(["0a", "y"]), table(["z"]));
        let numbered = Union::of(vec![Arc::clone(&first), Arc::clone(&hex)]).unwrap();
        let union = Arc::clone(&numbered[0].union);
        assert_eq!((union.len, union.text_bytes, union.is_plain), (3, 8, true));
        let again = Union::of(vec![Arc::clone(&hex)]).unwrap();
        assert!(Arc::ptr_eq(&again[0].union, &union));
        Union::of(vec![Arc::clone(&second), Arc::clone(&third)]).unwrap();
        Union::of(vec![Arc::clone(&second), Arc::clone(&first)]).unwrap();
        let all: Vec<_> = [&first, &second, &third, &hex].into_iter().filter_map(Numbered::of).collect();
        assert!(all.len() == 4 && are_one(&all) && all[0].union.len == 5);
    }

    #[test]
    fn a_full_union_is_left_alone_until_one_of_its_tables_is_gone() {
        let large = |first: usize| table((first..first + MAX_NUMBERS * 2 / 3).map(|i| i.to_string()));
        let (first, second, small) = (large(0), large(1 << 24), table(["5"]));
        let all = || vec![Arc::clone(&first), Arc::clone(&second), Arc::clone(&small)];
        let numbered = Union::of(all()).unwrap();
        assert_eq!(numbered.len(), 2, "one of the large ones, and the small one");
        assert!(Numbered::of(&first).is_some() != Numbered::of(&second).is_some());
        assert!(Union::of(all()).unwrap().is_empty());
        let (kept, other) = match Numbered::of(&first) {
            Some(_) => (first, second),
            None => (second, first),
        };
        drop((numbered, kept));
        assert_eq!(Union::of(vec![other, small]).unwrap().len(), 2);
        let long = table([vec![b'x'; MAX_TEXT_BYTES]]);
        assert!(Union::of(vec![long, table(["y"])]).unwrap().len() == 1);
    }

    #[test]
    fn texts_that_may_be_read_as_others_are_not_plain() {
        for (values, expected) in
            [(["/a", ""], true), (["/a", "b\\n"], false), (["\u{e9}", "b"], false), (["a\"b", "\n"], true)]
        {
            assert_eq!(table(values).is_plain(), expected, "{values:?}");
        }
    }
}
