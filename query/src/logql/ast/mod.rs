//! The syntax tree of LogQL.
//!
//! It holds what was written, no more: regular expressions, templates and patterns are text here and are
//! compiled by the engine. Durations are nanoseconds. Printing a tree gives canonical LogQL that parses
//! to the same tree (`print.rs`).

mod metric;

pub use metric::*;

/// A query: lines or numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Yields lines.
    Log(LogExpr),
    /// Yields series.
    Metric(MetricExpr),
}

/// A stream selector and what is done to each line.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// Conditions on stream labels; all hold.
    pub matchers: Vec<Matcher>,
    /// What happens to each line, in order.
    pub stages: Vec<Stage>,
}

/// How a string is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, the whole value
    Regex,
    /// `!~`, the whole value
    NotRegex,
}

/// A condition on the text of a label. A missing label compares as empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Text or regular expression.
    pub value: String,
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Keeps or drops by the line's text.
    Line(LineFilter),
    /// `| json`, of all fields when empty.
    Json(Vec<Extraction>),
    /// `| logfmt`, of all fields when empty.
    Logfmt {
        /// Stop at the first malformed pair and set an error.
        strict: bool,
        /// Keep keys without a value.
        keep_empty: bool,
        /// Fields wanted.
        fields: Vec<Extraction>,
    },
    /// `| regexp`
    Regexp(String),
    /// `| pattern`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// Keeps or drops by labels.
    Label(LabelFilter),
    /// `| line_format`
    LineFormat(String),
    /// `| label_format`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop`
    Drop(Vec<Selection>),
    /// `| keep`
    Keep(Vec<Selection>),
}

/// How a line is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// Whether lines that match are dropped.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotContains | Self::NotRegex | Self::NotPattern)
    }
}

/// A line filter: any alternative matches, or with a negative operator none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFilter {
    /// Comparison.
    pub op: LineOp,
    /// At least one.
    pub alternatives: Vec<LineMatch>,
}

/// One alternative of a line filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineMatch {
    /// Text, regular expression or pattern, by the operator.
    Text(String),
    /// `ip("…")`: the line holds an address of this range.
    Ip(String),
}

/// `name="expression"` of `| json` and `| logfmt`; a bare name is its own expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// Label that takes the value.
    pub name: String,
    /// Where the value is found.
    pub expression: String,
}

/// Comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==` (label filters also write `=`)
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

/// A condition on the labels of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// As text.
    Match(Matcher),
    /// As number.
    Number {
        /// Name of the label.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right-hand side.
        value: f64,
    },
    /// As duration.
    Duration {
        /// Name of the label.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right-hand side, nanoseconds.
        value_ns: i64,
    },
    /// As size.
    Bytes {
        /// Name of the label.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right-hand side, bytes.
        value: u64,
    },
    /// As IP address of a range.
    Ip {
        /// Name of the label.
        name: String,
        /// `!=` instead of `=`.
        negative: bool,
        /// Address, range or CIDR block.
        range: String,
    },
    /// Both hold.
    And(Box<Self>, Box<Self>),
    /// One holds.
    Or(Box<Self>, Box<Self>),
}

/// One assignment of `| label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// `to=from`
    Rename {
        /// New name.
        to: String,
        /// Old name.
        from: String,
    },
    /// `name="template"`
    Template {
        /// Label that takes the result.
        name: String,
        /// Go template.
        template: String,
    },
}

/// What `drop` and `keep` name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A label, whatever its value.
    Name(String),
    /// A label when its value fulfils the condition.
    Match(Matcher),
}
