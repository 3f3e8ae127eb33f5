//! `ip("…")`: an address, a range `a-b`, or a CIDR block, looked for in text.

use std::net::IpAddr;

/// Addresses from the first to the last, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

impl IpRange {
    /// Reads what a query gives to `ip()`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("ip: invalid pattern `{text}`");
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| invalid());
        if let Some((first, last)) = text.split_once('-') {
            let range = Self { first: address(first)?, last: address(last)? };
            if range.first.is_ipv4() != range.last.is_ipv4() || range.first > range.last {
                return Err(invalid());
            }
            return Ok(range);
        }
        if let Some((base, bits)) = text.split_once('/') {
            let bits: u32 = bits.parse().map_err(|_| invalid())?;
            return Self::block(address(base)?, bits).ok_or_else(invalid);
        }
        let address = address(text)?;
        Ok(Self { first: address, last: address })
    }

    fn block(base: IpAddr, bits: u32) -> Option<Self> {
        Some(match base {
            IpAddr::V4(base) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = u32::from(base) & !host;
                (bits <= 32).then(|| Self {
                    first: IpAddr::V4(first.into()),
                    last: IpAddr::V4((first | host).into()),
                })?
            }
            IpAddr::V6(base) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = u128::from(base) & !host;
                (bits <= 128).then(|| Self {
                    first: IpAddr::V6(first.into()),
                    last: IpAddr::V6((first | host).into()),
                })?
            }
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether `text` holds an address of the range, set apart by characters that belong to none.
    pub(crate) fn occurs_in(&self, text: &[u8]) -> bool {
        let v4 = self.first.is_ipv4();
        let part_of_address = |b: &u8| {
            if v4 {
                b.is_ascii_digit() || *b == b'.'
            } else {
                b.is_ascii_hexdigit() || *b == b':' || *b == b'.'
            }
        };
        text.split(|b| !part_of_address(b))
            .filter(|word| (2..=45).contains(&word.len()))
            .filter_map(|word| std::str::from_utf8(word).ok())
            .flat_map(|word| [word, word.trim_end_matches(['.', ':']), word.trim_matches(['.', ':'])])
            .filter_map(|word| word.parse::<IpAddr>().ok())
            .any(|address| self.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses_in_text() {
        for (range, text, found) in [
            ("192.168.0.0/16", "from 192.168.4.5:8080 x", true),
            ("192.168.0.0/16", "from 193.168.4.5", false),
            ("192.168.4.5-192.168.4.20", "192.168.4.21", false),
            ("192.168.4.5-192.168.4.20", "a=192.168.4.20.", true),
            ("10.0.0.1", "110.0.0.1", false),
            ("10.0.0.1", "10.0.0.10", false),
            ("2001:db8::/32", "peer [2001:db8::1]:443", true),
            ("::1", "::1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
        ] {
            assert_eq!(IpRange::parse(range).unwrap().occurs_in(text.as_bytes()), found, "{range} in {text}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for bad in ["", "1.2.3", "1.2.3.4/33", "1.2.3.4-::1", "2.2.2.2-1.1.1.1", "x"] {
            assert!(IpRange::parse(bad).is_err(), "{bad}");
        }
    }
}
