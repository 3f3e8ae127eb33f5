//! Ids of traces, spans and requests: what may be one, and the W3C `traceparent` taken apart.

/// Longest id, in bytes. UUIDs have 36, trace ids 32; some gateways chain several in one request id.
const MAX_ID_BYTES: usize = 128;

/// The id in a field's text; `None` for what says "no id" (`-`, `null`, zeros) and what cannot be one.
pub(super) fn id(text: &[u8]) -> Option<&str> {
    let text = text.trim_ascii();
    if text.len() > MAX_ID_BYTES || !text.iter().all(|b| is_id_byte(*b)) {
        return None;
    }
    if text.iter().all(|b| matches!(b, b'0' | b'-')) {
        return None;
    }
    let says_none = [&b"null"[..], b"nil", b"none", b"undefined", b"unknown", b"n/a", b"false", b"true"];
    if says_none.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return None;
    }
    std::str::from_utf8(text).ok()
}

const fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@' | b'~' | b'#' | b'|')
}

/// The trace id and the span id of `00-<trace id>-<span id>-<flags>`.
pub(super) fn traceparent(text: &[u8]) -> Option<(&str, &str)> {
    let text = text.trim_ascii();
    let fixed = text.get(..55)?;
    let dashes = fixed[2] == b'-' && fixed[35] == b'-' && fixed[52] == b'-';
    let (version, trace, span) = (&fixed[..2], &fixed[3..35], &fixed[36..52]);
    let hex = [version, trace, span, &fixed[53..]].iter().all(|part| part.iter().all(u8::is_ascii_hexdigit));
    // Later versions may append parts after another dash; version ff is forbidden.
    let ends = text.get(55).is_none_or(|b| *b == b'-');
    if !dashes || !hex || !ends || version.eq_ignore_ascii_case(b"ff") {
        return None;
    }
    Some((id(trace)?, id(span)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_what_is_none() {
        for text in
            ["4bf92f3577b34da6a3ce929d0e0e4736", "42", "r-1_a.b:c", "6c1d8f0e-0000-4000-8000-000000000001"]
        {
            assert_eq!(id(text.as_bytes()), Some(text));
        }
        let long = "a".repeat(129);
        for text in ["", "-", "0", "0000000000000000", "null", "None", "a b", "a\0b", "ü", "{x}", &long] {
            assert_eq!(id(text.as_bytes()), None, "{text}");
        }
        assert_eq!(id(b" a1 "), Some("a1"));
    }

    #[test]
    fn traceparent_is_split_in_its_parts() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for text in [format!("00-{trace}-{span}-01"), format!("01-{trace}-{span}-00-more")] {
            assert_eq!(traceparent(text.as_bytes()), Some((trace, span)));
        }
        for text in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", "g".repeat(32)),
            format!("00-{trace}-{span}-01x"),
            "ü".repeat(40),
        ] {
            assert_eq!(traceparent(text.as_bytes()), None, "{text}");
        }
    }
}
