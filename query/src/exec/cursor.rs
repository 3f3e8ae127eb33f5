//! Where a page ended, as opaque text: the last row's time, stream and number among the matching rows of
//! that stream and time. Nothing in it depends on how the store lays out its blocks, so it stays right while
//! blocks are built and merged. It carries the resolved time range, so that `since=1h` means the same on
//! every page, and a hash of the query it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::{StreamId, TimeRange};

use super::select::Order;

const VERSION: u8 = 1;
const LENGTH: usize = 2 + 6 * 8;

/// The end of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Order of the rows.
    pub order: Order,
    /// Time range of the query.
    pub range: TimeRange,
    /// Hash of the query's text.
    pub query_hash: u64,
    /// Time of the last row.
    pub ts_ns: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Matching rows of the same stream and time that arrived before it.
    pub ordinal: u64,
}

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not made by this version.
    #[error("`cursor` is not one this server gave out; leave it away to begin again")]
    Malformed,
    /// Made for another query or direction.
    #[error("`cursor` belongs to another query or direction; leave it away to begin again")]
    OtherQuery,
}

impl Cursor {
    /// As text for URLs.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.push(u8::from(self.order == Order::Forward));
        for number in [self.range.start_ns, self.range.end_ns, self.ts_ns] {
            bytes.extend(number.to_be_bytes());
        }
        for number in [self.query_hash, self.stream.0, self.ordinal] {
            bytes.extend(number.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// When it did not write this.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let (head, numbers) = bytes.split_first_chunk::<2>().ok_or(CursorError::Malformed)?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        let ([start, end, ts, hash, stream, ordinal], [], [VERSION, forward @ 0..=1]) = (numbers, rest, head)
        else {
            return Err(CursorError::Malformed);
        };
        Ok(Self {
            order: if *forward == 1 { Order::Forward } else { Order::Backward },
            range: TimeRange { start_ns: i64::from_be_bytes(*start), end_ns: i64::from_be_bytes(*end) },
            query_hash: u64::from_be_bytes(*hash),
            ts_ns: i64::from_be_bytes(*ts),
            stream: StreamId(u64::from_be_bytes(*stream)),
            ordinal: u64::from_be_bytes(*ordinal),
        })
    }

    /// Checks that the cursor was made for this query.
    ///
    /// # Errors
    /// When it was made for another.
    pub fn check(&self, query: &str, order: Order) -> Result<(), CursorError> {
        if self.query_hash == query_hash(query) && self.order == order {
            Ok(())
        } else {
            Err(CursorError::OtherQuery)
        }
    }
}

/// FNV-1a: tells queries apart, and is the same in every version.
#[must_use]
pub fn query_hash(query: &str) -> u64 {
    query
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_others_are_refused() {
        let cursor = Cursor {
            order: Order::Backward,
            range: TimeRange { start_ns: -1, end_ns: i64::MAX },
            query_hash: query_hash("a"),
            ts_ns: 7,
            stream: StreamId(u64::MAX),
            ordinal: 3,
        };
        let text = cursor.encode();
        assert_eq!(Cursor::decode(&text), Ok(cursor));
        assert_eq!(cursor.check("a", Order::Backward), Ok(()));
        assert_eq!(cursor.check("b", Order::Backward), Err(CursorError::OtherQuery));
        assert_eq!(cursor.check("a", Order::Forward), Err(CursorError::OtherQuery));
        for wrong in ["", "!", "AAAA", text.get(1..).unwrap(), &format!("{text}AA")] {
            assert_eq!(Cursor::decode(wrong), Err(CursorError::Malformed), "{wrong}");
        }
    }
}
