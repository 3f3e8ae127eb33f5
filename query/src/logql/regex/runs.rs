//! Regular expressions that look at nothing beyond their match: what bytes it is made of.

use regex_syntax::hir::{Class, Hir, HirKind};
use store::block::Pattern;

use super::Regex;

/// Bytes of ASCII text.
type Bytes = [bool; 128];

/// `regex`, which is `translated`, to be looked for in pieces of ASCII lines; `None` where it looks around or matches the
/// empty text.
pub(crate) fn pattern_of(regex: &Regex, translated: &str) -> Option<Pattern> {
    let hir = regex_syntax::ParserBuilder::new().utf8(false).build().parse(translated).ok()?;
    let properties = hir.properties();
    if !properties.look_set().is_empty() || properties.minimum_len().is_none_or(|len| len == 0) {
        return None;
    }
    let mut bytes = [false; 128];
    add_bytes(&hir, &mut bytes);
    let required: Vec<Vec<u8>> = required(&hir).iter().map(listed).collect();
    Some(Pattern::new(regex.program().clone(), &listed(&bytes), &required))
}

fn listed(bytes: &Bytes) -> Vec<u8> {
    (0..128).filter(|byte| bytes[usize::from(*byte)]).collect()
}

/// Adds the bytes that matches may have.
fn add_bytes(hir: &Hir, bytes: &mut Bytes) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => add_each(literal.0.iter().copied(), bytes),
        HirKind::Class(class) => add_class(class, bytes),
        HirKind::Repetition(repetition) => add_bytes(&repetition.sub, bytes),
        HirKind::Capture(capture) => add_bytes(&capture.sub, bytes),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| add_bytes(part, bytes));
        }
    }
}

/// Sets of which every match has a byte each.
fn required(hir: &Hir) -> Vec<Bytes> {
    let set = |add: &dyn Fn(&mut Bytes)| {
        let mut bytes = [false; 128];
        add(&mut bytes);
        bytes
    };
    match hir.kind() {
        HirKind::Literal(literal) => {
            literal.0.iter().map(|byte| set(&|bytes| add_each([*byte], bytes))).collect()
        }
        HirKind::Class(class) => vec![set(&|bytes| add_class(class, bytes))],
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(required).collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => Vec::new(),
    }
}

fn add_each(found: impl IntoIterator<Item = u8>, bytes: &mut Bytes) {
    for byte in found {
        if let Some(known) = bytes.get_mut(usize::from(byte)) {
            *known = true;
        }
    }
}

fn add_class(class: &Class, bytes: &mut Bytes) {
    let has = |byte: u8| match class {
        Class::Unicode(class) => {
            class.iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)))
        }
        Class::Bytes(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&byte)),
    };
    add_each((0..128).filter(|byte| has(*byte)), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::regex::translate;

    fn of(pattern: &str) -> Option<(String, Vec<String>)> {
        let translated = translate(pattern).unwrap();
        pattern_of(&Regex::new(pattern).unwrap(), &translated)?;
        let hir = regex_syntax::ParserBuilder::new().utf8(false).build().parse(&translated).unwrap();
        let mut bytes = [false; 128];
        add_bytes(&hir, &mut bytes);
        let text = |bytes: &Bytes| String::from_utf8(listed(bytes)).unwrap();
        Some((text(&bytes), required(&hir).iter().map(text).collect()))
    }

    #[test]
    fn matches_are_made_of_these_bytes_and_have_one_of_each_set() {
        for (pattern, bytes, required) in [
            ("[a-c]{9}[0-2]{4}", "012abc", &["abc", "012"][..]),
            ("(?i)ab?", "ABab", &["Aa"]),
            ("(x|y)z*", "xyz", &["xy"]),
            ("(ab|c)d", "abcd", &["d"]),
            ("a(b|é)", "ab", &["a", "b"]),
            ("(?i)k", "Kk", &["Kk"]),
            ("[^\\x00-\\x2f\\x3a-\\x7f]+", "0123456789", &["0123456789"]),
        ] {
            let required = required.iter().map(|set| (*set).to_owned()).collect();
            assert_eq!(of(pattern), Some((bytes.to_owned(), required)), "{pattern}");
        }
        for pattern in ["a*", "(a|)", "^a", "a$", "\\ba", "a\\B", ""] {
            assert_eq!(of(pattern), None, "{pattern}");
        }
    }
}
