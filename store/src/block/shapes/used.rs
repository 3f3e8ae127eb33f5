//! Which templates of a dictionary a column has: a list of numbers that is read with the header of its block.

use crate::block::wire::{Input, Malformed, put_varint};

/// A set of templates of a dictionary.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// As in a list of the form [`form::BITS`].
    bits: Vec<u8>,
}

impl Numbers {
    pub(super) fn insert(&mut self, number: usize) {
        if self.bits.len() <= number / 8 {
            self.bits.resize(number / 8 + 1, 0);
        }
        self.bits[number / 8] |= 1 << (number % 8);
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.bits.get(number / 8).is_some_and(|bits| bits >> (number % 8) & 1 == 1)
    }

    /// Whether a list has one of them.
    ///
    /// # Errors
    /// When the list is damaged.
    pub(crate) fn meet(&self, mut list: Input<'_>) -> Result<bool, Malformed> {
        list.len("templates of a column")?;
        if list.u8("templates of a column")? == form::BITS {
            return Ok(list.rest().iter().zip(&self.bits).any(|(list, own)| list & own != 0));
        }
        let mut next = 0;
        while !list.is_empty() {
            let number = list.len("template")?.saturating_add(next);
            if self.contains(number) {
                return Ok(true);
            }
            next = number.saturating_add(1);
        }
        Ok(false)
    }

    /// Whether a list has some of them, all or none: `None` stands for none.
    ///
    /// # Errors
    /// When the list is damaged.
    pub(crate) fn in_list(&self, list: Input<'_>) -> Result<Option<Vec<bool>>, Malformed> {
        if !self.meet(list.clone())? {
            return Ok(None);
        }
        let found: Vec<bool> =
            decode(list)?.iter().map(|number| self.contains(usize::from(*number))).collect();
        Ok(found.contains(&true).then_some(found))
    }
}

/// How a list is written.
mod form {
    /// Bit `i % 8` of byte `i / 8` says whether number `i` is in the list.
    pub(super) const BITS: u8 = 0;
    /// The difference of each number to the one before, less one.
    pub(super) const STEPS: u8 = 1;
}

/// Appends `numbers`, which ascend, in the shorter form.
pub(super) fn encode(numbers: &[u16], out: &mut Vec<u8>) {
    let mut steps = Vec::new();
    let mut next = 0_u64;
    for number in numbers {
        put_varint(&mut steps, u64::from(*number) - next);
        next = u64::from(*number) + 1;
    }
    let bits = next.div_ceil(8) as usize;
    put_varint(out, numbers.len() as u64);
    if steps.len() <= bits {
        out.push(form::STEPS);
        return out.extend_from_slice(&steps);
    }
    out.push(form::BITS);
    let start = out.len();
    out.resize(start + bits, 0);
    numbers.iter().for_each(|number| out[start + usize::from(*number / 8)] |= 1 << (number % 8));
}

/// Reads a list that takes the rest of `input`.
pub(crate) fn decode(mut input: Input<'_>) -> Result<Vec<u16>, Malformed> {
    const WRONG: Malformed = Malformed("templates of a column");
    let len = input.len("templates of a column")?;
    let mut numbers = Vec::with_capacity(len.min(input.rest().len() * 8));
    match input.u8("templates of a column")? {
        form::BITS => {
            for (byte, bits) in input.rest().iter().enumerate() {
                for bit in (0..8).filter(|bit| bits >> bit & 1 == 1) {
                    numbers.push(u16::try_from(byte * 8 + bit).map_err(|_| WRONG)?);
                }
            }
        }
        form::STEPS => {
            let mut next = 0_u64;
            while !input.is_empty() {
                let number = next.saturating_add(input.varint("template")?);
                numbers.push(u16::try_from(number).map_err(|_| WRONG)?);
                next = number + 1;
            }
        }
        _ => return Err(WRONG),
    }
    if numbers.len() == len { Ok(numbers) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_read_back_in_either_form(
            numbers in prop_oneof![
                prop::collection::btree_set(0..400_u16, 0..300),
                prop::collection::btree_set(any::<u16>(), 0..20),
            ],
            cut in any::<prop::sample::Index>(),
        ) {
            let numbers: Vec<u16> = BTreeSet::into_iter(numbers).collect();
            let mut out = Vec::new();
            encode(&numbers, &mut out);
            prop_assert_eq!(decode(Input::new(&out)), Ok(numbers.clone()));
            let mut some = Numbers::default();
            numbers.iter().step_by(5).skip(1).for_each(|number| some.insert(usize::from(*number)));
            some.insert(70_000);
            let expected: Vec<bool> = (0..numbers.len()).map(|i| i > 0 && i.is_multiple_of(5)).collect();
            prop_assert_eq!(some.meet(Input::new(&out)), Ok(expected.contains(&true)));
            let found = some.in_list(Input::new(&out)).unwrap();
            prop_assert_eq!(found.unwrap_or_else(|| vec![false; numbers.len()]), expected);
            let cut = cut.index(out.len());
            prop_assert!(decode(Input::new(&out[..cut])).is_err() || numbers.is_empty());
        }
    }
}
