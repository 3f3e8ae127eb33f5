//! One pass over a JSON object: names and scalar values, without building a tree.
//!
//! Recursion is bounded by [`Reach::depth`]; what lies deeper is skipped by a loop that counts brackets.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{MAX_DEPTH, MAX_PATH_BYTES, Reach, Value};
use crate::ascii;

/// How much of a line is looked at once for whether it is text; names further on are looked at one by one.
const TEXT_BYTES: usize = 4 << 10;
/// So much of a string is looked at without `memchr`.
const NEAR_BYTES: usize = 48;

/// Whether a line without leading white space starts like an object: `{"` or `{}`.
pub(super) fn starts(line: &[u8]) -> bool {
    match line.split_first() {
        Some((b'{', rest)) => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')),
        _ => false,
    }
}

/// Visits the fields of the object at the start of `line`, up to the first syntax error.
pub(super) fn walk<'a, F>(line: &'a [u8], reach: Reach, visit: &mut F) -> ControlFlow<()>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    let mut walker = Walker {
        line,
        text: beginning(line),
        at: 0,
        path: String::new(),
        depth: reach.depth.min(MAX_DEPTH),
        arrays: reach.arrays,
        visit,
    };
    walker.skip_space();
    if walker.peek() != Some(b'{') || walker.depth == 0 {
        return ControlFlow::Continue(());
    }
    walker.object()
}

/// The beginning of a line, as far as it is text.
fn beginning(line: &[u8]) -> &str {
    let line = line.get(..TEXT_BYTES).unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Where a string ends or has an escape. Most are short, and found before `memchr` has begun.
fn end_or_escape(text: &[u8]) -> Option<usize> {
    let (near, far) = text.split_at(text.len().min(NEAR_BYTES));
    let found = ascii::first_of_two(b'"', b'\\', near);
    found.or_else(|| memchr::memchr2(b'"', b'\\', far).map(|at| near.len() + at))
}

struct Walker<'a, F> {
    line: &'a [u8],
    /// The beginning of the line: a name within it is text, without another look.
    text: &'a str,
    at: usize,
    /// Path of the object or array being read; empty at the top.
    path: String,
    /// How many more levels may be entered.
    depth: usize,
    arrays: bool,
    visit: F,
}

/// `Break` ends the walk: the visitor had enough, or the line is no JSON from here on.
const END: ControlFlow<()> = ControlFlow::Break(());
const GO_ON: ControlFlow<()> = ControlFlow::Continue(());

impl<'a, F> Walker<'a, &mut F>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    fn object(&mut self) -> ControlFlow<()> {
        self.depth -= 1;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth += 1;
            return GO_ON;
        }
        loop {
            self.member()?;
            self.skip_space();
            match self.next() {
                Some(b',') => self.skip_space(),
                Some(b'}') => break,
                _ => return END,
            }
        }
        self.depth += 1;
        GO_ON
    }

    fn member(&mut self) -> ControlFlow<()> {
        if self.peek() != Some(b'"') {
            return END;
        }
        let Some(name) = self.name() else { return END };
        self.skip_space();
        if self.next() != Some(b':') {
            return END;
        }
        self.skip_space();
        if self.path.is_empty() {
            // At the top the name is the path: nothing to build for most fields of most lines.
            let Some(value) = self.scalar() else { return self.nested(&name) };
            return (self.visit)(&name, value);
        }
        let parent = self.path.len();
        self.path.push('.');
        self.path.push_str(&name);
        let flow = self.value_of_path();
        self.path.truncate(parent);
        flow
    }

    fn value_of_path(&mut self) -> ControlFlow<()> {
        match self.scalar() {
            Some(value) => (self.visit)(&self.path, value),
            None => self.container(),
        }
    }

    /// The object or array that is the value of `name` at the top.
    fn nested(&mut self, name: &str) -> ControlFlow<()> {
        self.path.push_str(name);
        // An empty name leaves the path empty, which says "top": its members would lose their parent.
        let flow = match self.peek() {
            Some(b'{' | b'[') if name.is_empty() => self.skip(),
            _ => self.container(),
        };
        self.path.clear();
        flow
    }

    fn container(&mut self) -> ControlFlow<()> {
        let enter = self.depth > 0 && self.path.len() <= MAX_PATH_BYTES;
        match self.peek() {
            Some(b'{') if enter => self.object(),
            Some(b'[') if enter && self.arrays => self.array(),
            Some(b'{' | b'[') => self.skip(),
            _ => END,
        }
    }

    fn array(&mut self) -> ControlFlow<()> {
        self.depth -= 1;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth += 1;
            return GO_ON;
        }
        let parent = self.path.len();
        for index in 0_usize.. {
            self.path.push('[');
            self.path.push_str(&index.to_string());
            self.path.push(']');
            self.value_of_path()?;
            self.path.truncate(parent);
            self.skip_space();
            match self.next() {
                Some(b',') => self.skip_space(),
                Some(b']') => break,
                _ => return END,
            }
        }
        self.depth += 1;
        GO_ON
    }

    /// The scalar at this place, `None` where none stands here.
    fn scalar(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => Some(self.number()),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'n' => self.word(b"null", Value::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        self.line[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn number(&mut self) -> Value<'a> {
        let rest = &self.line[self.at..];
        let length = rest
            .iter()
            .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        self.at += length;
        Value::Number(&rest[..length])
    }

    /// The name that starts here, `None` when it has no end.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let name = self.string()?;
        let Value::Text(bytes) = name else { return Some(name.text()) };
        let known = self.text.get(start..start + bytes.len());
        Some(known.map_or_else(|| name.text(), Cow::Borrowed))
    }

    /// The string that starts here, `None` when it has no end.
    fn string(&mut self) -> Option<Value<'a>> {
        let line = self.line;
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            end += end_or_escape(line.get(end..)?)?;
            if line[end] == b'"' {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at = end + 1;
        let inner = &line[start..end];
        Some(if escaped { Value::Escaped(inner) } else { Value::Text(inner) })
    }

    /// Passes over the object or array that starts here; nothing else may.
    fn skip(&mut self) -> ControlFlow<()> {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                b'"' => {
                    if self.string().is_none() {
                        return END;
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return GO_ON;
            }
        }
        END
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}
