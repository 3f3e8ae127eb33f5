//! What was asked: the query typed, in either language, with the selection flags beside it.

use query::filter::{Filter, LevelTest};
use query::logql::ast::{Expr, LabelFilter, MatchOp, Matcher, Stage};
use query::search::SyntaxError;
use query::{logql, search};

use crate::args::Selection;

/// A question for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// For records, in either language.
    Records(String),
    /// For numbers, in LogQL.
    Numbers(String),
}

impl Question {
    /// The query's text.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Records(text) | Self::Numbers(text) => text,
        }
    }
}

/// The query with `--service` and `--level` added.
///
/// # Errors
/// When `--level` names no level, or a query meant as LogQL is none; the error shows where.
pub(super) fn question(query: &[String], selection: &Selection) -> anyhow::Result<Question> {
    let typed = query.join(" ");
    let level = selection.level.as_deref().map(level_test).transpose()?;
    if !logql::is_meant(&typed) {
        return Ok(Question::Records(in_search_syntax(&typed, selection)));
    }
    let mut expr = logql::parse(&typed).map_err(|error| {
        let Some(position) = error.offset(&typed) else { return anyhow::anyhow!("{error}") };
        let at = SyntaxError { query: typed.clone(), position, message: String::new() };
        super::client::pointed(&error.to_string(), &at.pointer())
    })?;
    if selection.service.is_some() || selection.level.is_some() {
        let (matchers, stages) = in_logql(selection, level.as_ref());
        logql::narrow(&mut expr, &matchers, &stages);
    }
    let text = expr.to_string();
    Ok(match expr {
        Expr::Log(_) => Question::Records(text),
        Expr::Metric(_) => Question::Numbers(text),
    })
}

fn in_search_syntax(typed: &str, selection: &Selection) -> String {
    let mut parts = Vec::new();
    if let Some(service) = &selection.service {
        parts.push(format!("service:{}", quoted(service)));
    }
    if let Some(level) = &selection.level {
        parts.push(format!("level:{level}"));
    }
    if parts.is_empty() {
        return typed.to_owned();
    }
    if !typed.trim().is_empty() && typed.trim() != "*" {
        parts.push(format!("({typed})"));
    }
    parts.join(" ")
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The value of `--level`.
fn level_test(value: &str) -> anyhow::Result<LevelTest> {
    match search::parse(&format!("level:{value}")) {
        Ok(Filter::Level(test)) => Ok(test),
        Ok(_) => anyhow::bail!("`--level {value}` is no level: give for example `warn` or `>=warn`"),
        Err(error) => anyhow::bail!("`--level {value}`: {}", error.message),
    }
}

/// The flags as a matcher of the stream and as a filter of the level.
fn in_logql(selection: &Selection, level: Option<&LevelTest>) -> (Vec<Matcher>, Vec<Stage>) {
    let service = selection.service.iter().map(|service| Matcher {
        name: "service_name".to_owned(),
        op: MatchOp::Equal,
        value: service.clone(),
    });
    let mut stages = Vec::new();
    if let Some(test) = level {
        let names: Vec<&str> =
            test.wanted.listed().unwrap_or_default().into_iter().filter_map(store::Level::name).collect();
        let any = Matcher { name: "detected_level".to_owned(), op: MatchOp::Regex, value: names.join("|") };
        stages.push(Stage::Label(LabelFilter::Match(any)));
    }
    (service.collect(), stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, service: Option<&str>, level: Option<&str>) -> Question {
        let selection = Selection { service: service.map(str::to_owned), level: level.map(str::to_owned) };
        question(&[query.to_owned()], &selection).unwrap()
    }

    fn records(text: &str) -> Question {
        Question::Records(text.to_owned())
    }

    #[test]
    fn selection_flags_narrow_the_typed_query() {
        let words = ["a".to_owned(), "OR b".to_owned()];
        let none = Selection { service: None, level: None };
        assert_eq!(question(&words, &none).unwrap(), records("a OR b"));
        let (service, level) = (Some("check\"out"), Some(">=warn"));
        assert_eq!(asked("a OR b", service, level), records(r#"service:"check\"out" level:>=warn (a OR b)"#));
        assert_eq!(asked("*", service, level), records(r#"service:"check\"out" level:>=warn"#));
    }

    #[test]
    fn a_level_that_there_is_not_is_refused_with_a_suggestion() {
        for query in ["a", "{app=\"a\"}"] {
            for (level, reason) in [
                ("eror", "`eror` is no level; did you mean `error`?"),
                (">=wrn1", "is no level that compares"),
                ("warn OR x", "is no level"),
            ] {
                let selection = Selection { service: None, level: Some(level.to_owned()) };
                let error = question(&[query.to_owned()], &selection).unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("`--level {level}`")) && error.contains(reason),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn selection_flags_narrow_logql_as_well() {
        assert_eq!(
            asked("{app=\"a\"} |= `x`", Some("b"), Some(">=error")),
            records(r#"{app="a", service_name="b"} | detected_level=~"error|critical|fatal" |= "x""#)
        );
        assert_eq!(
            asked("sum(rate({app=\"a\"}[5m]))", Some("b"), None),
            Question::Numbers(r#"sum(rate({app="a", service_name="b"} [5m]))"#.to_owned())
        );
    }

    #[test]
    fn mistakes_in_logql_are_pointed_at() {
        let none = Selection { service: None, level: None };
        let error = question(&["{app=\"a\"} |= ".to_owned()], &none).unwrap_err().to_string();
        assert!(error.starts_with("parse error at line 1, col"), "{error}");
        assert!(error.lines().count() == 3 && error.ends_with('^'), "{error}");
    }
}
