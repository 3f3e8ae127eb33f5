//! From what a query requires to what the index can be asked.
//!
//! The invariant: whenever a record fulfils the [`Prune`], the [`Need`] made from it holds for the block
//! of the record. What to ask for a token depends on whether the needle shows its ends:
//!
//! | token | in a line it is | asked |
//! |---|---|---|
//! | ends shown, word | a word | the word |
//! | ends shown, id | an id | its key |
//! | end open, letters | in a word, or in a run of letters of an id | words with it, if long enough |
//! | end open, with digits | an id, or in a longer id | its key or a longer id; words with its runs |
//!
//! Words stand for runs of letters too (see `terms`), but only those of four letters and more that are not
//! all hex digits; for others a longer id has to be ruled out as well.
//!
//! Long ids are asked of the filter of the block's group too, which has no others.

use super::{Prune, Text};
use crate::index::WordPattern;
use crate::terms::{MAX_RUN, MIN_RUN, SoughtId, is_telling};
use crate::token::{self, Class, Token};

/// What a block must have to be worth reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// A word like the pattern of this number.
    Word {
        pattern: usize,
        /// The word may be a run of letters inside an id.
        or_run: bool,
    },
    /// This id.
    Id(SoughtId),
    /// A longer id that holds this text.
    LongerId(WordPattern),
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    One(Vec<Self>),
}

/// Compiles conditions; collects the patterns that the word index is asked for.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    pub(crate) patterns: Vec<WordPattern>,
}

impl Compiler {
    pub(crate) fn compile(&mut self, prune: &Prune) -> Need {
        match prune {
            Prune::Any => Need::Nothing,
            Prune::Text(text) => self.text(text),
            Prune::Pair { value, .. } => self.text(&Text {
                bytes: value.as_bytes().to_vec(),
                starts_token: true,
                ends_token: true,
                ignore_case: false,
            }),
            Prune::And(all) => {
                let needs = all.iter().map(|prune| self.compile(prune));
                Need::All(needs.filter(|need| *need != Need::Nothing).collect())
            }
            Prune::Or(any) => {
                let needs: Vec<Need> = any.iter().map(|prune| self.compile(prune)).collect();
                if needs.contains(&Need::Nothing) { Need::Nothing } else { Need::One(needs) }
            }
        }
    }

    /// Case needs no care here: tokens are folded on both sides, with or without `ignore_case`.
    fn text(&mut self, text: &Text) -> Need {
        let (body, cut_start, cut_end) = whole_characters(&text.bytes);
        let (open_start, open_end) = (cut_start || !text.starts_token, cut_end || !text.ends_token);
        let mut needs = Vec::new();
        let mut folded = Vec::new();
        token::for_each(body, |token| {
            token.fold_into(body, &mut folded);
            let pattern = WordPattern {
                text: folded.clone(),
                open_start: open_start && token.span.start == 0 && !token.alone,
                open_end: open_end && token.span.end == body.len() && !token.alone,
            };
            if pattern.open_start || pattern.open_end {
                self.open_token(token, pattern, &mut needs);
            } else if token.class == Class::Word {
                needs.push(self.word(pattern, false));
            } else {
                needs.push(Need::Id(SoughtId::of(&pattern.text)));
            }
            if let Some(middle) = token::uuid_middle(body, token) {
                needs.push(Need::Id(SoughtId::of_uuid_middle(middle)));
            }
        });
        if needs.is_empty() { Need::Nothing } else { Need::All(needs) }
    }

    /// A token that may go on beyond the needle.
    fn open_token(&mut self, token: &Token, pattern: WordPattern, needs: &mut Vec<Need>) {
        let letters_only = token::is_letters(&pattern.text);
        if letters_only && is_telling(&pattern.text) && pattern.text.len() <= MAX_RUN {
            needs.push(self.word(pattern, true));
        } else if letters_only && token.class == Class::Word {
            // Hex digits, or few letters: inside any longer id, or in a word.
            if pattern.text.len() >= MIN_RUN {
                needs.push(Need::One(vec![self.word(pattern.clone(), false), Need::LongerId(pattern)]));
            }
        } else {
            let key = Need::Id(SoughtId::of(&pattern.text));
            self.runs(&pattern, needs);
            needs.push(Need::One(vec![key, Need::LongerId(pattern)]));
        }
    }

    /// The runs of letters of an id: each is in a run of the line's id, and ends where a digit shows it.
    fn runs(&mut self, id: &WordPattern, needs: &mut Vec<Need>) {
        token::for_each_run(&id.text, |run, span| {
            if is_telling(run) && run.len() <= MAX_RUN {
                let pattern = WordPattern {
                    text: run.to_vec(),
                    open_start: id.open_start && span.start == 0,
                    open_end: id.open_end && span.end == id.text.len(),
                };
                needs.push(self.word(pattern, true));
            }
        });
    }

    fn word(&mut self, pattern: WordPattern, or_run: bool) -> Need {
        let number = self.patterns.iter().position(|known| *known == pattern).unwrap_or_else(|| {
            self.patterns.push(pattern);
            self.patterns.len() - 1
        });
        Need::Word { pattern: number, or_run }
    }
}

/// `needle` without the pieces of characters at its ends, and whether there was one at either end. What
/// such a piece belongs to in a line, and whether that extends the token next to it, is unknown.
fn whole_characters(needle: &[u8]) -> (&[u8], bool, bool) {
    let start = needle.iter().position(|byte| !(0x80..0xc0).contains(byte)).unwrap_or(needle.len());
    let body = &needle[start..];
    let last = body.iter().rposition(|byte| !(0x80..0xc0).contains(byte)).unwrap_or(0);
    let has = body.len() - last;
    let wants = match body.get(last) {
        Some(0xc2..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..0xf5) => 4,
        _ => 0,
    };
    let end = if has < wants { last } else { body.len() };
    (&body[..end], start > 0, end < body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_characters_are_left_out() {
        let cases: [(&[u8], &[u8], bool, bool); 7] = [
            (b"abc", b"abc", false, false),
            (b"\xa9abc", b"abc", true, false),
            (b"abc\xc3", b"abc", false, true),
            (b"ab\xe6\x94", b"ab", false, true),
            (b"ab\xe6\x94\xaf", b"ab\xe6\x94\xaf", false, false),
            (b"\x80\x80", b"", true, false),
            (b"", b"", false, false),
        ];
        for (needle, body, start, end) in cases {
            assert_eq!(whole_characters(needle), (body, start, end), "{needle:?}");
        }
    }

    #[test]
    fn a_trace_id_asks_for_its_key_or_a_longer_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let mut compiler = Compiler::default();
        let Need::All(needs) = compiler.compile(&Prune::Text(Text::substring(id))) else { panic!() };
        let [Need::One(either)] = needs.as_slice() else { panic!("{needs:?}") };
        assert_eq!(either[0], Need::Id(SoughtId::of(id.as_bytes())));
        assert!(compiler.patterns.is_empty());
    }
}
