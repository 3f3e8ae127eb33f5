//! The templates of a dictionary: the shapes that the texts of all blocks of a part are made of, stored once.
//!
//! A text that is in no template is in no block, and none of them needs to be unpacked to know it.
//!
//! The invariant: what [`Templates::that_may_hold`] denies no text of the template has. A slot is taken to hold any
//! bytes of its [`Class`], in any number.

use std::sync::{Arc, Mutex, PoisonError};

use super::bytes::ByteSet;
use super::forms::{self, Forms, Piece, Slot};
use super::needle::Needle;
use super::used::Numbers;
use super::{Builder, hex};
use crate::Origin;
use crate::block::header::{decode_origin, origin_code};
use crate::block::wire::{Input, Malformed, put_bytes, put_varint};

/// Needles of which it is remembered what templates may hold them: those asked for last.
const MAX_NEEDLES: usize = 8;
/// Most columns and pairs of a dictionary, as a bound for readers.
const MAX_NAMES: usize = 1 << 16;

/// Templates, by number.
#[derive(Debug)]
pub(crate) struct Templates {
    forms: Forms,
    /// Of the values of each column.
    classes: Vec<Class>,
    pairs: Vec<(Origin, Arc<str>)>,
    asked: Mutex<Vec<Asked>>,
}

/// A needle, and which templates may hold it.
#[derive(Debug)]
struct Asked {
    bytes: Vec<u8>,
    ignores_case: bool,
    may_hold: Arc<Numbers>,
}

/// What bytes a value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Decimal = 1,
    Hex = 2,
    Word = 3,
    Any = 4,
}

impl Class {
    const ALL: [Self; 4] = [Self::Decimal, Self::Hex, Self::Word, Self::Any];

    const fn bytes(self) -> ByteSet {
        const DECIMAL: ByteSet = ByteSet::of_few(b"0123456789");
        const HEX: ByteSet = ByteSet::of_few(b"0123456789abcdef");
        const WORD: ByteSet =
            ByteSet::of_few(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        match self {
            Self::Decimal => DECIMAL,
            Self::Hex => HEX,
            Self::Word => WORD,
            Self::Any => ByteSet::ALL,
        }
    }

    const fn index(self) -> usize {
        self as usize - 1
    }

    /// The least class, from this one on, that has all bytes of `value`.
    pub(super) fn with(self, value: &[u8]) -> Self {
        let fits = |class: &Self| match class {
            Self::Decimal => value.iter().all(u8::is_ascii_digit),
            Self::Hex => value.iter().all(|byte| hex::is_digit(*byte)),
            Self::Word => value.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'),
            Self::Any => true,
        };
        Self::ALL[self.index()..].iter().copied().find(fits).unwrap_or(Self::Any)
    }
}

/// The templates of all blocks of `builder`: parameters and content.
pub(super) fn encode(builder: &Builder) -> (Vec<u8>, Vec<u8>) {
    let (mut params, mut raw) = (Vec::new(), Vec::new());
    put_varint(&mut params, builder.classes().len() as u64);
    params.extend(builder.classes().map(|class| class as u8));
    put_varint(&mut params, builder.pairs().len() as u64);
    for (origin, name) in builder.pairs() {
        params.push(origin_code(*origin));
        put_bytes(&mut params, name.as_bytes());
    }
    forms::encode(builder.shapes(), &mut raw);
    (params, raw)
}

impl Templates {
    /// Reads `number` templates.
    pub(crate) fn decode(params: &[u8], raw: &[u8], number: usize) -> Result<Self, Malformed> {
        if number > usize::from(u16::MAX) {
            return Err(Malformed("number of templates"));
        }
        let mut input = Input::new(params);
        let columns = input.len("columns of templates")?;
        let class = |code: &u8| Class::ALL.into_iter().find(|class| *class as u8 == *code);
        let classes: Option<Vec<Class>> =
            input.take(columns, "columns of templates")?.iter().map(class).collect();
        let classes = classes.ok_or(Malformed("class of a column"))?;
        let mut pairs = Vec::new();
        for _ in 0..input.len("pairs of templates")? {
            let origin = decode_origin(input.u8("origin of a pair")?)?;
            pairs.push((origin, input.str("name of a pair")?.into()));
        }
        if !input.is_empty() || columns > MAX_NAMES || pairs.len() > MAX_NAMES {
            return Err(Malformed("parameters of templates"));
        }
        let mut input = Input::new(raw);
        let forms = Forms::decode(&mut input, number, columns, pairs.len())?;
        if !input.is_empty() {
            return Err(Malformed("end of the templates"));
        }
        Ok(Self { forms, classes, pairs, asked: Mutex::default() })
    }

    pub(super) const fn forms(&self) -> &Forms {
        &self.forms
    }

    /// Number of columns that slots may name.
    pub(super) const fn columns(&self) -> usize {
        self.classes.len()
    }

    /// Origin and name of a pair that slots may name.
    pub(crate) fn pair(&self, number: u32) -> Option<&(Origin, Arc<str>)> {
        self.pairs.get(number as usize)
    }

    /// Bytes of memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.forms.text().len() + size_of_val(self.forms.all_pieces()) + 8 * self.forms.len()
    }

    /// The templates whose texts may hold the needle; `None` when that cannot be told.
    pub(crate) fn that_may_hold(&self, needle: &Needle) -> Option<Arc<Numbers>> {
        if needle.is_empty() || !needle.has_places() {
            return None;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |asked: &Asked| asked.ignores_case == needle.ignores_case() && asked.bytes == needle.bytes;
        if let Some(at) = asked.iter().position(is_it) {
            asked[..=at].rotate_right(1);
            return Some(Arc::clone(&asked[0].may_hold));
        }
        // Others with the same needle wait: they would do the same.
        let places = Class::ALL.map(|class| needle.places_of(class.bytes()));
        let mut may_hold = Numbers::default();
        for number in (0..self.forms.len()).filter(|number| self.may_hold(*number, needle, &places)) {
            may_hold.insert(number);
        }
        let may_hold = Arc::new(may_hold);
        asked.truncate(MAX_NEEDLES - 1);
        let (bytes, ignores_case) = (needle.bytes.clone(), needle.ignores_case());
        asked.insert(0, Asked { bytes, ignores_case, may_hold: Arc::clone(&may_hold) });
        Some(may_hold)
    }

    /// Whether a text of template `number` may hold the needle. `places`: where in it a byte of each class stands, as
    /// bits.
    fn may_hold(&self, number: usize, needle: &Needle, places: &[u64; Class::ALL.len()]) -> bool {
        let whole = 1_u64 << (needle.bytes.len() - 1);
        // Bit i: the first i + 1 bytes of the needle may end here.
        let mut ending = 0_u64;
        for piece in self.forms.pieces(number) {
            for byte in self.forms.literal(piece) {
                ending = (ending << 1 | 1) & needle.places(*byte);
                if ending & whole != 0 {
                    return true;
                }
            }
            let places = places[self.class_of(piece).index()];
            loop {
                let longer = ending | ((ending << 1 | 1) & places);
                if longer == ending || piece.slot.is_none() {
                    break;
                }
                ending = longer;
            }
            if ending & whole != 0 {
                return true;
            }
        }
        false
    }

    /// What the value behind a piece may be like.
    fn class_of(&self, piece: &Piece) -> Class {
        match piece.slot {
            Some(Slot::Column(column)) => self.classes[column as usize],
            Some(Slot::Pair(_)) | None => Class::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Lines;

    fn templates(texts: &[&str]) -> Templates {
        let mut builder = Builder::default();
        let mut lines = Lines::default();
        (0..200).for_each(|i| lines.push(texts[i % texts.len()].as_bytes()));
        assert!(builder.cut_text(&lines));
        let (params, raw) = encode(&builder);
        for len in 0..raw.len() {
            assert!(Templates::decode(&params, &raw[..len], builder.shapes().len()).is_err());
        }
        Templates::decode(&params, &raw, builder.shapes().len()).unwrap()
    }

    #[test]
    fn a_template_denies_what_no_text_of_it_can_hold() {
        let templates = templates(&["order 4711 took 17 ms"]);
        assert_eq!(templates.forms.len(), 1);
        for (needle, expected) in [
            ("took", true),
            ("order  took", true), // a value without a byte is thought possible
            ("order 7 took", true),
            ("17 took 42 ms", true),
            ("4711", true),
            ("r 1", true),
            ("took ms", false),
            ("7 ms took", false),
            ("a took", false),
            ("msx", false),
            ("order 7b", false),
            ("Took", false),
        ] {
            let holds = |needle: &Needle| templates.that_may_hold(needle).unwrap().contains(0);
            assert_eq!(holds(&Needle::exact(needle.as_bytes())), expected, "{needle}");
            assert_eq!(holds(&Needle::ignoring_case(needle)), expected || needle == "Took", "{needle}");
        }
    }

    #[test]
    fn slots_hold_what_their_values_may_have() {
        let templates = templates(&["id 0123456789abcdef of node17 took 5", "node a at 12:30 of x9"]);
        let may = |needle: &str| {
            let found = templates.that_may_hold(&Needle::exact(needle.as_bytes())).unwrap();
            [0, 1].map(|number| found.contains(number))
        };
        assert_eq!(may("id ff of NODE-2 took 1"), [true, false]);
        assert_eq!(may("id fg of"), [false, false]);
        assert_eq!(may("took 1a"), [false, false]);
        assert_eq!(may("a at 1"), [false, true]);
    }
}
