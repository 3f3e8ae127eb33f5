//! What the nested shapes of a part's blocks say, remembered from one query to the next.
//!
//! The messages of a part are made of few templates, which each block has anew. Remembered once for all blocks, a template
//! takes two bytes a block, and a text that is in none of them is known to be in none of the blocks without unpacking
//! one again.
//!
//! The invariant: what [`Templates::shapes_that_may_hold`] denies no value of the column has. A slot is taken to hold any
//! bytes of its [`Class`], in any number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::bytes::ByteSet;
use super::needle::Needle;
use super::{Shapes, Slot};

/// Bytes that the templates of all open parts may take. Beyond it no more are remembered until a part is closed.
const MAX_BYTES: usize = 32 << 20;
/// Needles for each part of which it is remembered what templates may hold them: those asked for last.
const MAX_NEEDLES: usize = 8;
/// What a map and its lists take beside the bytes of an entry, about.
const ENTRY_BYTES: usize = 64;

/// How much more the templates of all parts together may take.
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicUsize::new(MAX_BYTES))
    }
}

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The templates of one part.
#[derive(Debug)]
pub(crate) struct Templates {
    budget: Arc<Budget>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By block and column, the number of the template of each shape.
    columns: HashMap<(u32, usize), Box<[u16]>>,
    /// By hash; equal hashes do not make equal templates.
    numbers: HashMap<u128, u16>,
    templates: Vec<Template>,
    needles: Vec<Asked>,
    /// Taken out of the budget.
    bytes: usize,
}

/// Literals, one after the other, and where slots of which class stand between them.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    text: Box<[u8]>,
    slots: Box<[(u32, Class)]>,
}

/// A needle, and which templates may hold it, by number, as far as asked.
#[derive(Debug)]
struct Asked {
    bytes: Vec<u8>,
    ignores_case: bool,
    /// Where in it a byte of each class stands, as bits.
    places: [u64; Class::ALL.len()],
    may_hold: Vec<Option<bool>>,
}

/// What bytes a value may have: few classes, so that a template is the same in all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Decimal,
    Hex,
    Word,
    Any,
}

impl Class {
    const ALL: [Self; 4] = [Self::Decimal, Self::Hex, Self::Word, Self::Any];

    const fn bytes(self) -> ByteSet {
        const DECIMAL: ByteSet = ByteSet::of_few(b"0123456789.");
        const HEX: ByteSet = ByteSet::of_few(b"0123456789abcdef.");
        const WORD: ByteSet =
            ByteSet::of_few(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
        match self {
            Self::Decimal => DECIMAL,
            Self::Hex => HEX,
            Self::Word => WORD,
            Self::Any => ByteSet::ALL,
        }
    }

    /// The narrowest class of values that have these bytes.
    fn of(set: Option<ByteSet>) -> Self {
        let holds = |class: &Self| set.is_some_and(|set| set.is_within(class.bytes()));
        Self::ALL.into_iter().find(holds).unwrap_or(Self::Any)
    }
}

impl Templates {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, known: Mutex::default() }
    }

    /// Whether values of each shape of `column` of block `block` may hold the needle; `None` when its templates are
    /// not known.
    pub(super) fn shapes_that_may_hold(
        &self,
        block: u32,
        column: usize,
        needle: &Needle,
    ) -> Option<Vec<bool>> {
        if needle.is_empty() || !needle.has_places() {
            return None;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { columns, templates, needles, .. } = &mut *known;
        let numbers = columns.get(&(block, column))?;
        let is_asked =
            |asked: &Asked| asked.ignores_case == needle.ignores_case() && asked.bytes == needle.bytes;
        let asked = match needles.iter().position(is_asked) {
            Some(at) => needles.remove(at),
            None => Asked {
                bytes: needle.bytes.clone(),
                ignores_case: needle.ignores_case(),
                places: Class::ALL.map(|class| needle.places_of(class.bytes())),
                may_hold: Vec::new(),
            },
        };
        needles.truncate(MAX_NEEDLES - 1);
        needles.insert(0, asked);
        let Asked { places, may_hold: verdicts, .. } = &mut needles[0];
        verdicts.resize(templates.len(), None);
        let verdict = |number: &u16| {
            let number = usize::from(*number);
            *verdicts[number].get_or_insert_with(|| templates[number].may_hold(needle, places))
        };
        Some(numbers.iter().map(verdict).collect())
    }

    /// Remembers the shapes of a column. `bytes_of` gives the bytes that values of a column of theirs may have.
    pub(super) fn remember(
        &self,
        block: u32,
        column: usize,
        shapes: &Shapes,
        bytes_of: impl Fn(usize) -> Option<ByteSet>,
    ) {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).columns.contains_key(&(block, column)) {
            return;
        }
        let classes: Vec<Class> = shapes.columns().map(|number| Class::of(bytes_of(number))).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { columns, numbers, templates, bytes, .. } = &mut *known;
        let mut own = Vec::with_capacity(shapes.len());
        // Most are known: they are told by their hash, without memory of their own.
        let mut reading = Reading::default();
        for shape in 0..shapes.len() {
            let text = shapes.text_of(shape);
            let hash = reading.read(shapes, shape, &classes);
            if let Some(number) = numbers.get(&hash) {
                let known = &templates[usize::from(*number)];
                if *known.text != *text || *known.slots != *reading.slots {
                    return; // somebody made up a message that collides with another
                }
                own.push(*number);
                continue;
            }
            let template = Template { text: text.into(), slots: reading.slots.as_slice().into() };
            let size = template.text.len() + size_of_val(&*template.slots) + ENTRY_BYTES;
            let Ok(number) = u16::try_from(templates.len()) else { return };
            if !self.budget.take(size) {
                return;
            }
            *bytes += size;
            numbers.insert(hash, number);
            templates.push(template);
            own.push(number);
        }
        let size = own.len() * 2 + ENTRY_BYTES;
        if self.budget.take(size) {
            *bytes += size;
            columns.insert((block, column), own.into());
        }
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.0.fetch_add(known.bytes, Ordering::Relaxed);
    }
}

/// The slots of a template as it is read, in memory that the next one uses again.
#[derive(Debug, Default)]
struct Reading {
    slots: Vec<(u32, Class)>,
    key: Vec<u8>,
}

impl Reading {
    /// Reads the slots of a shape; gives the hash of the template.
    fn read(&mut self, shapes: &Shapes, shape: usize, classes: &[Class]) -> u128 {
        let Self { slots, key } = self;
        slots.clear();
        key.clear();
        let mut at = 0;
        for piece in shapes.pieces(shape) {
            at += shapes.literal(piece).len() as u32;
            let class = match piece.slot {
                Some(Slot::Column(column)) => classes[column as usize],
                Some(Slot::Pair(_)) => Class::Any,
                None => continue,
            };
            slots.push((at, class));
            key.extend_from_slice(&at.to_le_bytes());
            key.push(class as u8);
        }
        xxh3_128_with_seed(shapes.text_of(shape), xxh3_64(key))
    }
}

impl Template {
    /// Whether a text of this template may hold the needle, with its [`Asked::places`].
    fn may_hold(&self, needle: &Needle, places: &[u64; Class::ALL.len()]) -> bool {
        let whole = 1_u64 << (needle.bytes.len() - 1);
        // Bit i: the first i + 1 bytes of the needle may end here.
        let mut ending = 0_u64;
        let mut slots = self.slots.iter().peekable();
        for at in 0..=self.text.len() {
            while let Some((_, class)) = slots.next_if(|(slot, _)| *slot as usize == at) {
                let places = places[*class as usize];
                loop {
                    let longer = ending | ((ending << 1 | 1) & places);
                    if longer == ending {
                        break;
                    }
                    ending = longer;
                }
                if ending & whole != 0 {
                    return true;
                }
            }
            let Some(byte) = self.text.get(at) else { break };
            ending = (ending << 1 | 1) & needle.places(*byte);
            if ending & whole != 0 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(pieces: &[&str], class: Class) -> Template {
        let (mut text, mut slots) = (Vec::new(), Vec::new());
        for (i, piece) in pieces.iter().enumerate() {
            if i > 0 {
                slots.push((text.len() as u32, class));
            }
            text.extend_from_slice(piece.as_bytes());
        }
        Template { text: text.into(), slots: slots.into() }
    }

    #[test]
    fn a_template_denies_what_no_text_of_it_can_hold() {
        let took = template(&["order ", " took ", " ms"], Class::Decimal);
        for (needle, expected) in [
            ("took", true),
            ("order  took", true), // a value without a byte is thought possible
            ("order 7 took", true),
            ("17 took 4.2 ms", true),
            ("4711", true),
            ("r 1", true),
            ("took ms", false),
            ("7 ms took", false),
            ("a took", false),
            ("msx", false),
            ("order 7b", false),
            ("Took", false),
        ] {
            let holds = |needle: &Needle| {
                took.may_hold(needle, &Class::ALL.map(|class| needle.places_of(class.bytes())))
            };
            assert_eq!(holds(&Needle::exact(needle.as_bytes())), expected, "{needle}");
            assert_eq!(holds(&Needle::ignoring_case(needle)), expected || needle == "Took", "{needle}");
        }
    }

    #[test]
    fn classes_are_the_narrowest_that_hold_all_bytes() {
        for (bytes, class) in
            [(&b"09"[..], Class::Decimal), (b"0a", Class::Hex), (b"0x", Class::Word), (b" ", Class::Any)]
        {
            assert_eq!(Class::of(Some(ByteSet::of(bytes))), class);
        }
        assert_eq!(Class::of(Some(ByteSet::of("é".as_bytes()))), Class::Any);
        assert_eq!(Class::of(None), Class::Any);
    }

    #[test]
    fn what_is_taken_of_the_budget_is_given_back() {
        let budget = Arc::new(Budget::default());
        let templates = Templates::new(Arc::clone(&budget));
        assert!(budget.take(100));
        templates.known.lock().unwrap().bytes = 100;
        assert!(!budget.take(MAX_BYTES));
        drop(templates);
        assert!(budget.take(MAX_BYTES));
    }
}
