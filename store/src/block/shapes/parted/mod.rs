//! Texts that are alike but for numbers, ids and words (addresses, paths, ids with something around them), token by token.
//!
//! The *outline* of a text is what stands between its tokens, the runs of ASCII letters and digits. The tokens of one place of
//! an outline are packed by themselves: as numbers, as one of few, or as text. The invariant: reading gives the very bytes
//! back; what is read is text again, and searched as such.
//!
//! ```text
//! bytes of all texts with a line end after each varint; outlines: number varint, each bytes, 0 for a token
//! outline of each text: nothing if there is one, u8
//! for each token of each outline: kind u8, then
//!   1 constant    the token bytes
//!   2 numbers     before bytes, after bytes, base u8, digits u8 (0: no zeros before others), lowest varint, `dense`
//!   3 dictionary  number varint, the tokens with `\n` after each, which of them: `dense`
//!   4 text        the tokens with `\n` after each
//! ```

mod number;
mod read;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;

/// Most outlines, and tokens of all of them.
const MAX_OUTLINES: usize = 64;
const MAX_PLACES: usize = 256;
/// Stands for a token in an outline.
const TOKEN: u8 = 0;

/// How the tokens of a place are packed.
mod kind {
    pub(super) const CONSTANT: u8 = 1;
    pub(super) const NUMBERS: u8 = 2;
    pub(super) const DICTIONARY: u8 = 3;
    pub(super) const TEXT: u8 = 4;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::{Lines, Piece};

    fn lines<T: AsRef<str>>(texts: &[T]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_ref().as_bytes()));
        lines
    }

    fn read_back(texts: &Lines) -> Option<usize> {
        let (raw, pieces) = encode(texts)?;
        let packed = pieces.iter().map(|piece| match piece {
            Piece::Packed(len) | Piece::Plain(len) => *len,
        });
        assert_eq!(packed.sum::<usize>(), raw.len());
        let found = decode(&raw, texts.len()).unwrap();
        assert_eq!(
            (0..found.len).map(|i| found.get(i)).collect::<Vec<_>>(),
            texts.iter().collect::<Vec<_>>()
        );
        Some(raw.len())
    }

    fn random(i: u64) -> u64 {
        let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
    }

    #[test]
    fn texts_that_are_alike_take_little_more_than_their_tokens_tell() {
        type Text<'a> = &'a dyn Fn(u64) -> String;
        let cases: [(&str, Text<'_>, usize); 6] = [
            ("addresses", &|n| format!("10.{}.{}.{}", n % 8, n / 8 % 256, n / 2048 % 256), 24),
            ("paths", &|n| format!("/{}/{}", ["shop", "blog", "img"][(n % 3) as usize], n / 3 % 9000), 24),
            ("numbers with a unit", &|n| format!("{}kB", n % 9_000_000), 24),
            ("ids after a name", &|n| format!("veth{:07x}", n % (1 << 28)), 28),
            ("digits with zeros before", &|n| format!("{:03}", n % 1000), 16),
            ("ids in groups", &|n| format!("{:08x}-{:04x}", n % (1 << 32), n / 77 % 65536), 48),
        ];
        for (of, text, bits) in cases {
            let texts: Vec<String> = (0..4000).map(|i| text(random(i))).collect();
            let bytes = read_back(&lines(&texts)).unwrap();
            assert!(bytes * 8 <= 4000 * bits + 4000, "{of}: {bytes} bytes");
        }
    }

    #[test]
    fn running_text_and_texts_with_marks_are_left_alone() {
        let running: Vec<String> =
            (0..200).map(|i| format!("1{}", [" ", "-/", ";:"][i % 3].repeat(i))).collect();
        assert!(encode(&lines(&running)).is_none());
        assert!(encode(&lines(&["1\0"; 100])).is_none());
        assert!(encode(&lines(&["a"; 100])).is_none());
    }

    #[test]
    fn cut_and_harmed_texts_are_refused_or_as_many_and_as_long() {
        let texts: Vec<String> = (0..100).map(|i| format!("/a{}/b-{:x}", i % 5, random(i))).collect();
        let texts = lines(&texts);
        let (raw, _) = encode(&texts).unwrap();
        for len in 0..raw.len() {
            assert!(decode(&raw[..len], 100).is_err());
        }
        for at in 0..raw.len() {
            let mut harmed = raw.clone();
            harmed[at] ^= 1 << (at % 8);
            let found = decode(&harmed, 100);
            assert!(found.is_err() || found.unwrap().all().bytes.len() == texts.bytes().len());
        }
    }

    proptest! {
        #[test]
        fn texts_read_back_whatever_they_are(
            texts in prop::collection::vec("(v|0x|)[0-9a-f]{0,3}[./-]?[0-9]{0,20}(s|)", 64..100),
        ) {
            read_back(&lines(&texts));
        }

        #[test]
        fn texts_of_one_outline_read_back(texts in prop::collection::vec("v[0-9a-f]{1,20}/[0-9]{2,3}kB", 64..100)) {
            prop_assert!(read_back(&lines(&texts)).is_some());
        }
    }
}
