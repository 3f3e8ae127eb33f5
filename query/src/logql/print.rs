//! Prints a tree as canonical LogQL: one space between words, double quotes, binary operations in
//! parentheses. Parsing the text gives the same tree.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::*;
use super::units::{format_duration, format_float, quote};

fn list<T: Display>(
    f: &mut Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    separator: &str,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl LogExpr {
    fn print_selector(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        list(f, &self.matchers, ", ")?;
        f.write_char('}')
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print_selector(f)?;
        for stage in &self.stages {
            write!(f, " {stage}")?;
        }
        Ok(())
    }
}

impl Display for MatchOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op, quote(&self.value))
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, quote(&self.expression))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(filter) => filter.fmt(f),
            Self::Json(fields) => {
                f.write_str(if fields.is_empty() { "| json" } else { "| json " })?;
                list(f, fields, ", ")
            }
            Self::Logfmt { strict, keep_empty, fields } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                f.write_str(if fields.is_empty() { "" } else { " " })?;
                list(f, fields, ", ")
            }
            Self::Regexp(regex) => write!(f, "| regexp {}", quote(regex)),
            Self::Pattern(pattern) => write!(f, "| pattern {}", quote(pattern)),
            Self::Unpack => f.write_str("| unpack"),
            Self::Label(filter) => write!(f, "| {filter}"),
            Self::LineFormat(template) => write!(f, "| line_format {}", quote(template)),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                list(f, formats, ", ")
            }
            Self::Decolorize => f.write_str("| decolorize"),
            Self::Drop(labels) => {
                f.write_str("| drop ")?;
                list(f, labels, ", ")
            }
            Self::Keep(labels) => {
                f.write_str("| keep ")?;
                list(f, labels, ", ")
            }
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.op {
            LineOp::Contains => "|= ",
            LineOp::NotContains => "!= ",
            LineOp::Regex => "|~ ",
            LineOp::NotRegex => "!~ ",
            LineOp::Pattern => "|> ",
            LineOp::NotPattern => "!> ",
        })?;
        list(f, &self.alternatives, " or ")
    }
}

impl Display for LineMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote(text)),
            Self::Ip(range) => write!(f, "ip({})", quote(range)),
        }
    }
}

impl Display for CompareOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
        })
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match(matcher) => matcher.fmt(f),
            Self::Number { name, op, value } => write!(f, "{name}{op}{}", format_float(*value)),
            Self::Duration { name, op, value_ns } => write!(f, "{name}{op}{}", format_duration(*value_ns)),
            Self::Bytes { name, op, value } => write!(f, "{name}{op}{value}B"),
            Self::Ip { name, negative, range } => {
                write!(f, "{name}{}ip({})", if *negative { "!=" } else { "=" }, quote(range))
            }
            Self::And(left, right) => write!(f, "( {left} and {right} )"),
            Self::Or(left, right) => write!(f, "( {left} or {right} )"),
        }
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename { to, from } => write!(f, "{to}={from}"),
            Self::Template { name, template } => write!(f, "{name}={}", quote(template)),
        }
    }
}

impl Display for Selection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Match(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        list(f, &self.labels, ", ")?;
        f.write_char(')')
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion {
            Conversion::Number => write!(f, " | unwrap {}", self.label)?,
            Conversion::Duration => write!(f, " | unwrap duration({})", self.label)?,
            Conversion::Bytes => write!(f, " | unwrap bytes({})", self.label)?,
        }
        for filter in &self.filters {
            write!(f, " | {filter}")?;
        }
        Ok(())
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.name())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{}, ", format_float(parameter))?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            unwrap.fmt(f)?;
        }
        write!(f, " [{}]", format_range(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", format_duration(self.offset_ns))?;
        }
        f.write_char(')')?;
        self.grouping.as_ref().map_or(Ok(()), |grouping| write!(f, " {grouping}"))
    }
}

/// Prometheus' form, which knows nothing finer than milliseconds.
fn format_range(nanos: i64) -> String {
    let millis = nanos / 1_000_000;
    match (millis / 1000, millis % 1000) {
        (0, 0) => "0s".to_owned(),
        (_, 0) => format_duration(nanos),
        (0, millis) => format!("{millis}ms"),
        (seconds, millis) => format!("{seconds}s{millis}ms"),
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping} ")?;
        }
        f.write_char('(')?;
        if let Some(count) = self.count {
            write!(f, "{count}, ")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or => f.write_str("or"),
            Self::And => f.write_str("and"),
            Self::Unless => f.write_str("unless"),
            Self::Compare(op) => op.fmt(f),
            Self::Add => f.write_char('+'),
            Self::Subtract => f.write_char('-'),
            Self::Multiply => f.write_char('*'),
            Self::Divide => f.write_char('/'),
            Self::Modulo => f.write_char('%'),
            Self::Power => f.write_char('^'),
        }
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.on { " on (" } else { " ignoring (" })?;
        list(f, &self.labels, ", ")?;
        f.write_char(')')?;
        let group = match self.cardinality {
            Cardinality::OneToOne => return Ok(()),
            Cardinality::ManyToOne => " group_left (",
            Cardinality::OneToMany => " group_right (",
        };
        f.write_str(group)?;
        list(f, &self.include, ", ")?;
        f.write_char(')')
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Vector(vector) => vector.fmt(f),
            Self::Literal(value) => f.write_str(&format_float(*value)),
            Self::Scalar(value) => write!(f, "vector({})", format_float(*value)),
            Self::Binary(binary) => {
                write!(f, "({} {}", binary.left, binary.op)?;
                if binary.return_bool {
                    f.write_str(" bool")?;
                }
                if let Some(matching) = &binary.matching {
                    matching.fmt(f)?;
                }
                write!(f, " {})", binary.right)
            }
            Self::LabelReplace(replace) => write!(
                f,
                "label_replace({}, {}, {}, {}, {})",
                replace.inner,
                quote(&replace.target),
                quote(&replace.replacement),
                quote(&replace.source),
                quote(&replace.regex)
            ),
        }
    }
}
