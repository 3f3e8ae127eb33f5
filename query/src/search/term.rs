//! From one term of a query to a filter. The grammar of a single term is `tantivy-query-grammar`'s.

use store::Level;
use tantivy_query_grammar::{Delimiter, UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral};

use super::{Mistake, Scope};
use crate::filter::compare::{Bound, Quantity};
use crate::filter::level::{self, ORDERED};
use crate::filter::{FieldTest, Filter, LevelSet, LevelTest, TextTest, field::ValueTest};
use crate::hit::LEVEL;

/// The filter of the term `text`, which stands at byte `at`, within the parentheses of the field `scope`.
pub(super) fn filter(text: &str, at: usize, scope: Scope<'_>) -> Result<Filter, Mistake> {
    let leaf = match tantivy_query_grammar::parse_query(text) {
        Ok(UserInputAst::Leaf(leaf)) => *leaf,
        Ok(UserInputAst::Boost(..)) => {
            return Err(Mistake::new(
                at,
                "`^` weighs terms, but log lines are not ranked; quote it to search for it",
            ));
        }
        Ok(UserInputAst::Clause(_)) | Err(_) => return Err(malformed(text, at)),
    };
    let term = Term { text, at, scope };
    match leaf {
        UserInputLeaf::All => {
            term.field(None).map_or(Ok(Filter::All), |name| term.test(&name, ValueTest::Exists))
        }
        UserInputLeaf::Exists { field } => term.test(&field, ValueTest::Exists),
        UserInputLeaf::Literal(literal) => term.literal(literal),
        UserInputLeaf::Regex { field, pattern } => {
            let test = TextTest::regex(&pattern)
                .map_err(|why| Mistake::new(at, format!("bad regular expression: {why}")))?;
            match term.field(field) {
                Some(name) => term.test(&name, ValueTest::Regex(test)),
                None => Ok(Filter::Line(test)),
            }
        }
        UserInputLeaf::Range { field, lower, upper } => {
            let Some(name) = term.field(field) else {
                return Err(Mistake::new(at, "a range needs a field: `status:[400 TO 499]`, `status:>=500`"));
            };
            term.range(&name, lower, upper)
        }
        UserInputLeaf::Set { field, elements } => {
            let Some(name) = term.field(field) else {
                return Err(Mistake::new(at, "a set needs a field: `status:IN [500 502]`"));
            };
            let tests = elements.iter().map(|value| term.test(&name, ValueTest::equals(value)));
            Ok(Filter::Or(tests.collect::<Result<_, _>>()?))
        }
    }
}

fn malformed(text: &str, at: usize) -> Mistake {
    if text.ends_with(':') {
        return Mistake::new(
            at + text.len(),
            format!("a value is missing after `{text}`; write `{text}*` for any"),
        );
    }
    if text.contains(['[', '{']) {
        return Mistake::new(
            at,
            format!("`{text}` is not understood; write a range as `field:[400 TO 499]` or quote the term"),
        );
    }
    Mistake::new(at, format!("`{text}` is not understood; put it in double quotes to search for it as it is"))
}

struct Term<'a> {
    text: &'a str,
    at: usize,
    scope: Scope<'a>,
}

impl Term<'_> {
    fn field(&self, own: Option<String>) -> Option<String> {
        own.or_else(|| self.scope.map(str::to_owned))
    }

    fn literal(&self, literal: UserInputLiteral) -> Result<Filter, Mistake> {
        let quoted = literal.delimiter != Delimiter::None;
        if literal.slop > 0 {
            return Err(Mistake::new(self.at, "`~` is not supported: words of a phrase stand side by side"));
        }
        let mut phrase = literal.phrase;
        let mut prefix = literal.prefix;
        if !quoted {
            let ends_in_star;
            (phrase, ends_in_star) = self.unquoted(&phrase)?;
            prefix |= ends_in_star;
        }
        let Some(name) = self.field(literal.field_name) else {
            if phrase.is_empty() {
                return Err(Mistake::new(self.at, "there is no text between these quotes"));
            }
            let test = if prefix { TextTest::prefix(&phrase) } else { TextTest::words(&phrase) };
            return Ok(Filter::Line(test));
        };
        let test = if prefix { ValueTest::prefix(&phrase) } else { ValueTest::equals(&phrase) };
        self.test(&name, test)
    }

    /// Takes the `*` off `pay*`; in `pay\\*` it is a character, and the backslash goes.
    fn unquoted(&self, phrase: &str) -> Result<(String, bool), Mistake> {
        let mut text = String::with_capacity(phrase.len());
        let mut chars = phrase.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('\\', Some('*')) => {
                    chars.next();
                    text.push('*');
                }
                ('*', None) => return Ok((text, true)),
                ('*', Some(_)) => {
                    return Err(Mistake::new(
                        self.at,
                        format!(
                            "`*` is understood at the end of a word only, `{}` has it elsewhere; use a regular \
                             expression (`/pay.*ment/`) or quote the term",
                            self.text
                        ),
                    ));
                }
                (c, _) => text.push(c),
            }
        }
        Ok((text, false))
    }

    fn range(&self, name: &str, lower: UserInputBound, upper: UserInputBound) -> Result<Filter, Mistake> {
        if name == LEVEL {
            return self.level_range(&lower, &upper);
        }
        self.test(name, ValueTest::Range(bound(lower), bound(upper)))
    }

    fn test(&self, name: &str, test: ValueTest) -> Result<Filter, Mistake> {
        if name != LEVEL {
            return Ok(Filter::Field(FieldTest::new(name, self.at, test)));
        }
        if let ValueTest::Equals(spelling) = &test
            && level::by_name(spelling.text()).is_none()
        {
            // Nothing would be found, for a typo as for a level that no line has.
            return Err(Mistake::new(self.at, level::unknown(spelling.text())));
        }
        Ok(Filter::Level(level_test(test)))
    }

    fn level_range(&self, lower: &UserInputBound, upper: &UserInputBound) -> Result<Filter, Mistake> {
        let place = |bound: &UserInputBound| match bound {
            UserInputBound::Unbounded => Ok(None),
            UserInputBound::Inclusive(word) | UserInputBound::Exclusive(word) => level::by_name(word)
                .and_then(|level| ORDERED.iter().position(|l| *l == level))
                .map(Some)
                .ok_or_else(|| {
                    let names: Vec<&str> = ORDERED.iter().filter_map(|l| l.name()).collect();
                    Mistake::new(
                        self.at,
                        format!(
                            "`{word}` is no level that compares; they are, in order, {}",
                            names.join(", ")
                        ),
                    )
                }),
        };
        let above = place(lower)?;
        let below = place(upper)?;
        let inside = |i: usize| {
            above.is_none_or(|low| i > low || (i == low && matches!(lower, UserInputBound::Inclusive(_))))
                && below.is_none_or(|high| {
                    i < high || (i == high && matches!(upper, UserInputBound::Inclusive(_)))
                })
        };
        let wanted = ORDERED.iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, level)| *level);
        Ok(Filter::Level(LevelTest { wanted: LevelSet::of(wanted), otherwise: None }))
    }
}

fn level_test(test: ValueTest) -> LevelTest {
    let passes = |level: &Level| {
        level.name().is_some_and(|name| match &test {
            ValueTest::Equals(spelling) => level::by_name(spelling.text()) == Some(*level),
            _ => test.is_match_whole(name),
        })
    };
    LevelTest { wanted: LevelSet::of(Level::ALL.into_iter().filter(passes)), otherwise: Some(test) }
}

fn bound(bound: UserInputBound) -> Bound {
    match bound {
        UserInputBound::Inclusive(text) => Bound::Inclusive(Quantity::of(&text)),
        UserInputBound::Exclusive(text) => Bound::Exclusive(Quantity::of(&text)),
        UserInputBound::Unbounded => Bound::Open,
    }
}
