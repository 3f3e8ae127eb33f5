//! Parsers that turn a line's text into labels: JSON, logfmt.

pub(crate) mod json;
pub(crate) mod json_path;
pub(crate) mod logfmt;

use std::borrow::Cow;

/// Appends `key` as part of a label name: trimmed, anything but ASCII letters, digits and `_` replaced by
/// `_`, and no digit at the start of the whole name. Nothing is appended for a blank key.
pub(crate) fn append_sanitized(name: &mut String, key: &str) {
    let key = key.trim();
    if name.is_empty() && key.starts_with(|c: char| c.is_ascii_digit()) {
        name.push('_');
    }
    for c in key.chars() {
        name.push(if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' });
    }
}

/// Text for a label: bytes that are not UTF-8, and U+FFFD itself, become spaces, as Loki has it.
pub(crate) fn label_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() || !text.contains('\u{fffd}') => Cow::Borrowed(text),
        Ok(text) => Cow::Owned(text.replace('\u{fffd}', " ")),
        Err(_) => {
            let mut out = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                out.push_str(&chunk.valid().replace('\u{fffd}', " "));
                out.extend(chunk.invalid().iter().map(|_| ' '));
            }
            Cow::Owned(out)
        }
    }
}
