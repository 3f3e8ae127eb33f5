//! The numbers of few digits among the ids of a block, told one by one.
//!
//! Half of the ids of plain text are ports, sizes, milliseconds: a block has so many of all there are that a list of them
//! takes half the bits of a filter's keys, and is never wrong.
//!
//! The invariant: a number is its digits, so `7` is not `007`. Those of one length are a set of their own, a bit for
//! each or, after Elias and Fano, the low bits of each and how many there are for each of the high bits, whichever is shorter.

use crate::block::{Input, Malformed, put_varint};

/// Most digits: of longer ones a block has too few of all for a list to be shorter.
const MAX_DIGITS: usize = 5;

/// A token of at most [`MAX_DIGITS`] decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShortNumber {
    digits: usize,
    value: u32,
}

impl ShortNumber {
    pub(crate) fn of(token: &[u8]) -> Option<Self> {
        if token.is_empty() || token.len() > MAX_DIGITS || !token.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = token.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        Some(Self { digits: token.len(), value })
    }

    /// A number that is written with so many digits.
    pub(crate) fn with_digits(number: u64, digits: usize) -> Option<Self> {
        let fits = (1..=MAX_DIGITS).contains(&digits) && number < universe(digits) as u64;
        fits.then_some(Self { digits, value: number as u32 })
    }
}

/// Numbers there are of so many digits.
const fn universe(digits: usize) -> usize {
    10_usize.pow(digits as u32)
}

/// How a set is written; its size tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A bit for each number there is.
    Bitmap,
    /// So many low bits of each member; then, for each of the high bits, a one for each member and a zero.
    Split(u32),
}

impl Form {
    fn of(members: usize, universe: usize) -> Self {
        let bits = |low: &u32| members * (*low as usize + 1) + (universe >> low) + 1;
        let low = (0..u16::BITS).min_by_key(bits).unwrap_or(0);
        if universe <= bits(&low) { Self::Bitmap } else { Self::Split(low) }
    }

    /// Bytes of the low bits, and of the rest.
    const fn lens(self, members: usize, universe: usize) -> (usize, usize) {
        match self {
            Self::Bitmap => (0, universe.div_ceil(8)),
            Self::Split(low) => {
                ((members * low as usize).div_ceil(8), (members + (universe >> low) + 1).div_ceil(8))
            }
        }
    }
}

/// Short numbers being collected.
#[derive(Debug)]
pub(crate) struct ShortNumbers {
    /// By number of digits: a bit for each number.
    sets: [Vec<u64>; MAX_DIGITS],
}

impl Default for ShortNumbers {
    fn default() -> Self {
        Self { sets: std::array::from_fn(|i| vec![0; universe(i + 1).div_ceil(64)]) }
    }
}

impl ShortNumbers {
    pub(crate) fn clear(&mut self) {
        self.sets.iter_mut().for_each(|set| set.fill(0));
    }

    #[inline]
    pub(crate) fn insert(&mut self, number: ShortNumber) {
        self.sets[number.digits - 1][number.value as usize / 64] |= 1 << (number.value % 64);
    }

    /// Appends the sets, those of the fewest digits first: number of members, low bits, the rest.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for (i, set) in self.sets.iter().enumerate() {
            let members: usize = set.iter().map(|word| word.count_ones() as usize).sum();
            put_varint(out, members as u64);
            if members == 0 {
                continue;
            }
            let universe = universe(i + 1);
            let form = Form::of(members, universe);
            let (low_len, rest_len) = form.lens(members, universe);
            let start = out.len();
            match form {
                Form::Bitmap => {
                    out.extend(set.iter().flat_map(|word| word.to_le_bytes()).take(rest_len));
                }
                Form::Split(low) => {
                    out.resize(start + low_len + rest_len, 0);
                    let (lows, rest) = out[start..].split_at_mut(low_len);
                    for (at, value) in ones(set).enumerate() {
                        (0..low)
                            .filter(|bit| value >> bit & 1 == 1)
                            .for_each(|bit| set_bit(lows, at * low as usize + bit as usize));
                        set_bit(rest, at + (value >> low));
                    }
                }
            }
        }
    }
}

/// Places of the ones, ascending.
fn ones(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut word = *word;
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
            word &= word - 1;
            Some(at * 64 + bit)
        })
    })
}

fn set_bit(bytes: &mut [u8], at: usize) {
    bytes[at / 8] |= 1 << (at % 8);
}

fn bit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// The short numbers of a block, within the bytes they were read from.
#[derive(Clone, Debug)]
pub(crate) struct ShortSets<'a>(Vec<Set<'a>>);

#[derive(Clone, Copy, Debug)]
struct Set<'a> {
    form: Form,
    lows: &'a [u8],
    rest: &'a [u8],
}

impl<'a> ShortSets<'a> {
    pub(crate) fn decode(input: &mut Input<'a>) -> Result<Self, Malformed> {
        let mut sets = Vec::with_capacity(MAX_DIGITS);
        for digits in 1..=MAX_DIGITS {
            let (members, universe) = (input.len("number of short numbers")?, universe(digits));
            if members > universe {
                return Err(Malformed("number of short numbers"));
            }
            let form = Form::of(members, universe);
            let (low_len, rest_len) = if members == 0 { (0, 0) } else { form.lens(members, universe) };
            let lows = input.take(low_len, "short numbers")?;
            sets.push(Set { form, lows, rest: input.take(rest_len, "short numbers")? });
        }
        Ok(Self(sets))
    }

    pub(crate) fn contain(&self, number: ShortNumber) -> bool {
        self.0.get(number.digits - 1).is_some_and(|set| set.contains(number.value as usize))
    }
}

impl Set<'_> {
    fn contains(&self, value: usize) -> bool {
        let Form::Split(low) = self.form else { return bit(self.rest, value) };
        let high = value >> low;
        let Some(mut at) = after_zeros(self.rest, high) else { return false };
        while bit(self.rest, at) {
            let start = (at - high) * low as usize;
            if (0..low as usize).all(|i| bit(self.lows, start + i) == (value >> i & 1 == 1)) {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// Place behind so many zeros; `None` where there are fewer.
fn after_zeros(bytes: &[u8], mut zeros: usize) -> Option<usize> {
    if zeros == 0 {
        return Some(0);
    }
    for (at, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0xff; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mut left = !u64::from_le_bytes(word);
        let found = left.count_ones() as usize;
        if found >= zeros {
            (1..zeros).for_each(|_| left &= left - 1);
            return Some(at * 64 + left.trailing_zeros() as usize + 1);
        }
        zeros -= found;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn encoded<'a>(tokens: impl Iterator<Item = &'a str>) -> Vec<u8> {
        let mut numbers = ShortNumbers::default();
        tokens.filter_map(|token| ShortNumber::of(token.as_bytes())).for_each(|n| numbers.insert(n));
        let mut out = Vec::new();
        numbers.encode(&mut out);
        out
    }

    #[test]
    fn numbers_of_few_digits_are_short() {
        for (token, is_short) in [
            ("7", true),
            ("007", true),
            ("65535", true),
            ("00000", true),
            ("123456", false),
            ("", false),
            ("12z", false),
            ("-1", false),
        ] {
            assert_eq!(ShortNumber::of(token.as_bytes()).is_some(), is_short, "{token}");
        }
    }

    #[test]
    fn sets_of_any_size_hold_their_members_alone() {
        for step in [1, 2, 7, 100, 9999, 40_000] {
            let tokens: BTreeSet<String> = (0..100_000).step_by(step).map(|n| format!("{n:05}")).collect();
            let bytes = encoded(tokens.iter().map(String::as_str));
            let mut input = Input::new(&bytes);
            let sets = ShortSets::decode(&mut input).unwrap();
            assert!(input.is_empty());
            for n in 0..100_000 {
                let token = format!("{n:05}");
                let number = ShortNumber::of(token.as_bytes()).unwrap();
                assert_eq!(sets.contain(number), tokens.contains(&token), "{token} of each {step}th");
            }
        }
    }

    #[test]
    fn many_numbers_take_far_fewer_bits_than_keys_of_a_filter() {
        for (step, most) in [(2, 3), (9, 6), (33, 8)] {
            let tokens: Vec<String> = (10_000..100_000).step_by(step).map(|n| n.to_string()).collect();
            let bits = encoded(tokens.iter().map(String::as_str)).len() * 8;
            assert!(bits < tokens.len() * most + 100, "{bits} bits for {}", tokens.len());
        }
    }

    #[test]
    fn cut_and_harmed_sets_are_refused_or_answer() {
        let tokens: Vec<String> = (0..3000).map(|n| (n * 31).to_string()).collect();
        let bytes = encoded(tokens.iter().map(String::as_str));
        for len in 0..bytes.len() {
            assert!(ShortSets::decode(&mut Input::new(&bytes[..len])).is_err());
        }
        for at in 0..bytes.len() {
            let mut harmed = bytes.clone();
            harmed[at] = !harmed[at];
            let Ok(sets) = ShortSets::decode(&mut Input::new(&harmed)) else { continue };
            for token in ["0", "99", "500", "99999"] {
                sets.contain(ShortNumber::of(token.as_bytes()).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn members_are_told_from_others(
            tokens in prop::collection::btree_set("[0-9]{1,5}", 0..300),
            others in prop::collection::vec("[0-9]{1,5}", 100),
        ) {
            let bytes = encoded(tokens.iter().map(String::as_str));
            let mut input = Input::new(&bytes);
            let sets = ShortSets::decode(&mut input).unwrap();
            prop_assert!(input.is_empty());
            for token in tokens.iter().chain(&others) {
                let number = ShortNumber::of(token.as_bytes()).unwrap();
                prop_assert_eq!(sets.contain(number), tokens.contains(token), "{}", token);
            }
        }
    }
}
