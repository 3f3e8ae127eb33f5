//! The protobuf wire format, field by field and without copies.
//!
//! Messages are read by hand rather than into generated structures: two bytes of input can claim a structure of
//! hundreds, and the limits of a push must hold before such memory is taken.

use super::error::PushError;

/// Messages nested deeper than this are refused.
pub(super) const MAX_DEPTH: usize = 16;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order: number and value.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

pub(super) const fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Fields<'a> {
    /// The next field, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, PushError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.field().map(Some).ok_or_else(|| PushError::Bad("the body is no protobuf message".to_owned()))
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None, // groups were never used here
        };
        (key >> 3 > 0).then_some((key >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// A field of type `string`.
pub(super) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, PushError> {
    std::str::from_utf8(bytes).map_err(|_| PushError::Bad(format!("{what} is not UTF-8")))
}

/// An encoded `google.rpc.Status { code: 1, message: 2 }`.
pub(super) fn status_message(code: u64, message: &str) -> Vec<u8> {
    number_and_text(code, message)
}

/// An encoded `ExportLogsServiceResponse { partial_success: 1 { rejected_log_records: 1, error_message: 2 } }`.
pub(super) fn partial_success(rejected: u64, message: &str) -> Vec<u8> {
    let partial = number_and_text(rejected, message);
    let mut out = vec![0x0a];
    put_varint(partial.len() as u64, &mut out);
    out.extend(partial);
    out
}

/// A message whose field 1 is a number, and whose field 2 is a text.
fn number_and_text(number: u64, text: &str) -> Vec<u8> {
    let mut out = vec![0x08];
    put_varint(number, &mut out);
    out.push(0x12);
    put_varint(text.len() as u64, &mut out);
    out.extend_from_slice(text.as_bytes());
    out
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
