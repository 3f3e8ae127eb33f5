//! Template text to tokens: literal text, and what stands between `{{` and `}}`.

use crate::logql::lexer::unescape;

/// A place in the template, for errors: line from 1, column from 0 as in Go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    /// `.name`, right after what precedes it or not
    Field(String),
    Variable(String),
    Constant(Text),
    Symbol(&'static str),
    Blank,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    String(String),
    Number(String),
    Char(char),
}

/// Text, or the inside of `{{ }}` with its place.
pub(super) enum Item {
    Text(String),
    Action(Vec<(Token, At)>),
}

fn place(text: &str, offset: usize) -> At {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    At { line: before.matches('\n').count() + 1, column: offset - line_start }
}

pub(super) fn split(name: &str, text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let open = at + offset;
        let error = |message: &str| format!("template: {name}:{}: {message}", place(text, open).line);
        let mut literal = text.get(at..open).unwrap_or_default();
        let body_start = open + 2;
        let body = text.get(body_start..).unwrap_or_default();
        let trims_left = body.starts_with('-') && body.chars().nth(1).is_some_and(char::is_whitespace);
        if trim_next {
            literal = literal.trim_start();
        }
        if trims_left {
            literal = literal.trim_end();
        }
        items.push(Item::Text(literal.to_owned()));
        let inner_start = body_start + usize::from(trims_left);
        let inner = text.get(inner_start..).unwrap_or_default();
        let (tokens, length) = if inner.trim_start().starts_with("/*") {
            let end = inner.find("*/").ok_or_else(|| error("unclosed comment"))? + 2;
            (None, end)
        } else {
            let (tokens, length) = tokenize(text, inner_start).map_err(|message| error(&message))?;
            (Some(tokens), length)
        };
        let tail = text.get(inner_start + length..).unwrap_or_default();
        let blanks = tail.len() - tail.trim_start().len();
        let closing = tail.trim_start();
        trim_next = closing.starts_with("-}}");
        if !trim_next && !closing.starts_with("}}") {
            return Err(error("unclosed action"));
        }
        at = inner_start + length + blanks + if trim_next { 3 } else { 2 };
        items.extend(tokens.map(Item::Action));
    }
    let mut literal = text.get(at..).unwrap_or_default();
    if trim_next {
        literal = literal.trim_start();
    }
    items.push(Item::Text(literal.to_owned()));
    Ok(items)
}

/// Tokens up to the closing braces, and how many bytes they take.
fn tokenize(text: &str, start: usize) -> Result<(Vec<(Token, At)>, usize), String> {
    let mut tokens = Vec::new();
    let mut at = start;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(c) = rest.chars().next() else { return Err("unclosed action".to_owned()) };
        let trimmed = rest.trim_start();
        if trimmed.starts_with("}}") || (trimmed.len() < rest.len() && trimmed.starts_with("-}}")) {
            return Ok((tokens, at - start));
        }
        let word_length =
            |text: &str| text.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(text.len());
        let head = |length: usize| rest.get(..length).unwrap_or_default().to_owned();
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        let (token, length) = match c {
            c if c.is_whitespace() => (Token::Blank, rest.len() - trimmed.len()),
            '"' => {
                let length = string_length(rest, '"').ok_or("unterminated quoted string")?;
                let body = rest.get(1..length - 1).unwrap_or_default();
                (Token::Constant(Text::String(unescape(body).ok_or("invalid syntax")?)), length)
            }
            '`' => {
                let end = tail.find('`').ok_or("unterminated raw quoted string")?;
                (Token::Constant(Text::String(tail.get(..end).unwrap_or_default().to_owned())), end + 2)
            }
            '\'' => {
                let length = string_length(rest, '\'').ok_or("unterminated character constant")?;
                let body = unescape(rest.get(1..length - 1).unwrap_or_default())
                    .ok_or("malformed character constant")?;
                let mut chars = body.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => (Token::Constant(Text::Char(c)), length),
                    _ => return Err("malformed character constant".to_owned()),
                }
            }
            '$' => (Token::Variable(head(1 + word_length(tail))), 1 + word_length(tail)),
            '.' if tail.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                let length = word_length(tail);
                (Token::Field(tail.get(..length).unwrap_or_default().to_owned()), 1 + length)
            }
            c if c.is_ascii_digit()
                || ((c == '-' || c == '+' || c == '.')
                    && tail.starts_with(|c: char| c.is_ascii_digit() || c == '.')) =>
            {
                let length = number_length(rest);
                (Token::Constant(Text::Number(head(length))), length)
            }
            c if c == '_' || c.is_alphabetic() => (Token::Word(head(word_length(rest))), word_length(rest)),
            '.' => (Token::Symbol("."), 1),
            '(' => (Token::Symbol("("), 1),
            ')' => (Token::Symbol(")"), 1),
            '|' => (Token::Symbol("|"), 1),
            ',' => (Token::Symbol(","), 1),
            ':' if tail.starts_with('=') => (Token::Symbol(":="), 2),
            '=' => (Token::Symbol("="), 1),
            c => return Err(format!("unexpected {c:?} in command")),
        };
        tokens.push((token, place(text, at)));
        at += length;
    }
}

fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return None,
            c if c == quote => return Some(i + 1),
            _ => {}
        }
    }
    None
}

fn number_length(text: &str) -> usize {
    let mut previous = ' ';
    for (i, c) in text.char_indices() {
        let sign = (c == '-' || c == '+') && (i == 0 || matches!(previous, 'e' | 'E'));
        if !(sign || c == '.' || c == '_' || c.is_ascii_alphanumeric()) {
            return i;
        }
        previous = c;
    }
    text.len()
}
