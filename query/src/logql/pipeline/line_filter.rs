//! `|=`, `!=`, `|~`, `!~`, `|>`, `!>`.

use memchr::memmem::Finder;

use crate::logql::ast::{LineFilter, LineMatch, LineOp};
use crate::logql::ip::IpRange;
use crate::logql::pattern::Pattern;
use crate::logql::regex::Regex;

/// A compiled line filter.
#[derive(Debug)]
pub(crate) struct LineTest {
    negative: bool,
    alternatives: Vec<Alternative>,
}

#[derive(Debug)]
enum Alternative {
    Contains(Box<Finder<'static>>),
    Regex(Regex),
    Pattern(Pattern),
    Ip(IpRange),
}

impl LineTest {
    pub(super) fn new(filter: &LineFilter) -> Result<Self, String> {
        let alternatives =
            filter.alternatives.iter().map(|a| compile(filter.op, a)).collect::<Result<_, _>>()?;
        Ok(Self { negative: filter.op.is_negative(), alternatives })
    }

    pub(super) fn is_match(&self, line: &[u8]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.is_match(line)) != self.negative
    }
}

fn compile(op: LineOp, alternative: &LineMatch) -> Result<Alternative, String> {
    let text = match alternative {
        LineMatch::Ip(range) => return IpRange::parse(range).map(Alternative::Ip),
        LineMatch::Text(text) => text,
    };
    Ok(match op {
        LineOp::Contains | LineOp::NotContains => {
            Alternative::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
        }
        LineOp::Regex | LineOp::NotRegex => Alternative::Regex(Regex::new(&lenient(text))?),
        LineOp::Pattern | LineOp::NotPattern => Alternative::Pattern(Pattern::line_filter(text)?),
    })
}

/// Loki looks at a line filter's expression only when a stream is read, so a lone backslash at the end
/// passes its parser; here it stands for itself.
pub(super) fn lenient(pattern: &str) -> String {
    let backslashes = pattern.bytes().rev().take_while(|b| *b == b'\\').count();
    if backslashes % 2 == 1 { format!("{pattern}\\") } else { pattern.to_owned() }
}

impl Alternative {
    fn is_match(&self, line: &[u8]) -> bool {
        match self {
            Self::Contains(finder) => finder.find(line).is_some(),
            Self::Regex(regex) => regex.is_match(line),
            Self::Pattern(pattern) => pattern.is_match(line),
            Self::Ip(range) => range.occurs_in(line),
        }
    }
}
