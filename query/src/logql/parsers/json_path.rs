//! Paths into JSON: `a.b[0]["c d"]`.

use super::json::{Scanner, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A way from the outermost value to one within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("cannot parse JSON expression `{text}`");
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(body) = rest.strip_prefix("[\"") {
                let (key, tail) = quoted(body).ok_or_else(invalid)?;
                steps.push(Step::Key(key));
                rest = tail;
            } else if let Some(body) = rest.strip_prefix('[') {
                let (index, tail) = body.split_once(']').ok_or_else(invalid)?;
                steps.push(Step::Index(index.trim().parse().map_err(|_| invalid())?));
                rest = tail;
            } else {
                let field = match rest.strip_prefix('.') {
                    Some(tail) if !steps.is_empty() => tail,
                    None if steps.is_empty() => rest,
                    _ => return Err(invalid()),
                };
                let end = field
                    .find(|c: char| !(c == '_' || c == '-' || c.is_alphanumeric()))
                    .unwrap_or(field.len());
                let (name, tail) = field.split_at(end);
                if !name.starts_with(|c: char| c == '_' || c.is_alphabetic()) {
                    return Err(invalid());
                }
                steps.push(Step::Key(name.to_owned()));
                rest = tail;
            }
        }
        if steps.is_empty() { Err(invalid()) } else { Ok(Self(steps)) }
    }

    /// The value at the end of the path, the first of equal keys; `None` when there is none or the text
    /// before it is malformed.
    pub(crate) fn find<'a>(&self, line: &'a [u8]) -> Option<Value<'a>> {
        let mut scanner = Scanner::new(line);
        let mut found = None;
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                scanner = match found? {
                    Value::Object(inner) | Value::Array(inner) => Scanner::new(inner),
                    _ => return None,
                };
            }
            found = Some(match step {
                Step::Key(wanted) => find_key(&mut scanner, wanted)?,
                Step::Index(wanted) => find_index(&mut scanner, *wanted)?,
            });
        }
        found
    }
}

fn find_key<'a>(scanner: &mut Scanner<'a>, wanted: &str) -> Option<Value<'a>> {
    if !scanner.enter(b'{') {
        return None;
    }
    let mut first = true;
    while let Some(key) = scanner.key(first).ok()? {
        first = false;
        let value = scanner.value().ok()?;
        if super::json::unescape(key) == wanted {
            return Some(value);
        }
    }
    None
}

fn find_index<'a>(scanner: &mut Scanner<'a>, wanted: usize) -> Option<Value<'a>> {
    if !scanner.enter(b'[') {
        return None;
    }
    for i in 0..=wanted {
        let value = scanner.element(i == 0).ok()??;
        if i == wanted {
            return Some(value);
        }
    }
    None
}

/// The text up to `"]`, with `\"` and `\\` resolved, and what follows.
fn quoted(body: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = body.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next()?.1),
            '"' => return Some((key, body.get(i + 1..)?.strip_prefix(']')?)),
            c => key.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::json::text;
    use super::*;

    #[test]
    fn finds_values() {
        let line = br#"{"a":{"b":[1,{"c d":"x"}],"e":null},"a":2,"h":{"X-K":"k"}}"#;
        for (path, value) in [
            ("a.b[0]", Some("1")),
            (r#"a.b[1]["c d"]"#, Some("x")),
            (r#"["a"].e"#, Some("")),
            ("a.b", Some(r#"[1,{"c d":"x"}]"#)),
            ("h.X-K", Some("k")),
            ("a.b[9]", None),
            ("a.x", None),
            ("x.y", None),
            (r#"a[""]"#, None),
        ] {
            let found = JsonPath::parse(path).unwrap().find(line);
            assert_eq!(found.map(text).as_deref(), value, "{path}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for bad in ["", ".a", "a.", "a[", "a[x]", "a[\"b]", "a b", "1a", "a..b"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }
}
