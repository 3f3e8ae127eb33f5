//! Terms of the values of a column, which are more alike than lines are.
//!
//! The invariant: they are the terms of the values' text. What is known to have been told already is passed over.

use super::Collector;
use crate::block::Lines;
use crate::short_numbers::ShortNumber;
use crate::token;

/// More than any number has of digits, and as many bytes behind it as tokens are looked at ahead.
const ROOM: usize = 36;

impl Collector {
    /// Adds the tokens of texts of which many begin as the one before: dates, paths.
    pub(crate) fn add_alike(&mut self, texts: &Lines) {
        let mut before: &[u8] = b"";
        for i in 0..texts.len() {
            let span = texts.span(i);
            let text = &texts.bytes()[span.clone()];
            let same = same_len(before, text);
            if same < text.len() || same < before.len() {
                let known =
                    text[..same].iter().rposition(|byte| token::is_edge(*byte)).map_or(0, |at| at + 1);
                self.add_within(texts.bytes(), span.start + known..span.end);
            }
            before = text;
        }
    }

    /// Adds the tokens of numbers with a point before the last `decimals` digits.
    pub(crate) fn add_numbers(&mut self, numbers: &[u64], decimals: usize) {
        let unit = 10_u64.pow(decimals as u32);
        for number in numbers {
            if decimals == 0 {
                self.add_number(*number, digits(*number));
            } else {
                let whole = number / unit;
                self.add_number(whole, digits(whole));
                self.add_number(number % unit, decimals);
            }
        }
    }

    /// Adds a number that is written with so many digits.
    fn add_number(&mut self, number: u64, digits: usize) {
        let is_listed = digits > self.longest.others;
        if let Some(short) = ShortNumber::with_digits(number, digits)
            && !is_listed
        {
            return self.numbers.insert(short);
        }
        let (mut text, mut rest) = ([b'\n'; ROOM], number);
        for digit in text[..digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.add_within(&text, 0..digits);
    }
}

/// Number of decimal digits.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Number of bytes with which both begin.
fn same_len(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let at = 8 * pairs.take_while(|(a, b)| a == b).count();
    at + a[at..].iter().zip(&b[at..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(add: impl FnOnce(&mut Collector)) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u64>) {
        let mut collector = Collector::default();
        collector.begin();
        add(&mut collector);
        let found = collector.finish();
        let mut words: Vec<Vec<u8>> = found.words.iter().map(<[u8]>::to_vec).collect();
        words.sort_unstable();
        (words, found.ids, found.long_ids.keys)
    }

    fn lines(texts: &[String]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_bytes()));
        lines
    }

    proptest! {
        #[test]
        fn texts_that_begin_alike_have_the_terms_of_their_text(
            texts in prop::collection::vec(
                "(2026-11-20T|0a1b-2c3d-4e5f-|a7|/api/|é|x|-|[.:]|[0-9]{4}-|[a-f]{9}){0,7}",
                1..12,
            ),
        ) {
            let texts = lines(&texts);
            let expected = terms(|collector| collector.add(texts.bytes()));
            prop_assert_eq!(terms(|collector| collector.add_alike(&texts)), expected);
        }

        #[test]
        fn numbers_have_the_terms_of_their_text(
            numbers in prop::collection::vec(prop_oneof![0..2_000_000_u64, any::<u64>().prop_map(|n| n / 2)], 1..60),
            decimals in 0..5_usize,
        ) {
            let text = |number: &u64| match decimals {
                0 => number.to_string(),
                _ => format!("{}.{:0decimals$}", number / 10_u64.pow(decimals as u32), number % 10_u64.pow(decimals as u32)),
            };
            let texts = lines(&numbers.iter().map(text).collect::<Vec<_>>());
            let expected = terms(|collector| collector.add(texts.bytes()));
            prop_assert_eq!(terms(|collector| collector.add_numbers(&numbers, decimals)), expected);
        }
    }
}
