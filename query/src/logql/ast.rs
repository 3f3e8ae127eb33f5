//! The syntax tree of LogQL.
//!
//! It holds what was written, no more: regular expressions, templates and patterns are text here and are
//! compiled by the engine. Durations are nanoseconds. Printing a tree gives canonical LogQL that parses
//! to the same tree (`print.rs`).

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

/// Something with a value at each step.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])`
    Range(RangeAggregation),
    /// `sum by (x) (…)`
    Vector(VectorAggregation),
    /// `a + b`
    Binary(Box<Binary>),
    /// `1`
    Literal(f64),
    /// `vector(1)`
    Scalar(f64),
    /// `label_replace(…)`
    LabelReplace(Box<LabelReplace>),
}

/// Functions of the samples in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are LogQL's")]
pub enum RangeOp {
    Rate,
    RateCounter,
    CountOverTime,
    BytesRate,
    BytesOverTime,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    StdvarOverTime,
    StddevOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
    AbsentOverTime,
}

impl RangeOp {
    /// Every function.
    pub const ALL: [Self; 15] = [
        Self::Rate,
        Self::RateCounter,
        Self::CountOverTime,
        Self::BytesRate,
        Self::BytesOverTime,
        Self::AvgOverTime,
        Self::SumOverTime,
        Self::MinOverTime,
        Self::MaxOverTime,
        Self::StdvarOverTime,
        Self::StddevOverTime,
        Self::QuantileOverTime,
        Self::FirstOverTime,
        Self::LastOverTime,
        Self::AbsentOverTime,
    ];

    /// The name in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::RateCounter => "rate_counter",
            Self::CountOverTime => "count_over_time",
            Self::BytesRate => "bytes_rate",
            Self::BytesOverTime => "bytes_over_time",
            Self::AvgOverTime => "avg_over_time",
            Self::SumOverTime => "sum_over_time",
            Self::MinOverTime => "min_over_time",
            Self::MaxOverTime => "max_over_time",
            Self::StdvarOverTime => "stdvar_over_time",
            Self::StddevOverTime => "stddev_over_time",
            Self::QuantileOverTime => "quantile_over_time",
            Self::FirstOverTime => "first_over_time",
            Self::LastOverTime => "last_over_time",
            Self::AbsentOverTime => "absent_over_time",
        }
    }
}

/// Which labels a group keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// `without` instead of `by`.
    pub without: bool,
    /// The labels named.
    pub labels: Vec<String>,
}

/// How an unwrapped label is read as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// Go number.
    Number,
    /// Go duration, in seconds (`duration` and `duration_seconds`).
    Duration,
    /// Size with a unit, in bytes.
    Bytes,
}

/// `| unwrap label` and the filters after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How it is read.
    pub conversion: Conversion,
    /// Label filters that follow; all hold.
    pub filters: Vec<LabelFilter>,
}

/// A function over the lines of a moving window.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAggregation {
    /// The function.
    pub op: RangeOp,
    /// First argument of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Lines that are counted.
    pub log: LogExpr,
    /// Label whose values are the samples, where it is not the lines themselves.
    pub unwrap: Option<Unwrap>,
    /// Length of the window.
    pub range_ns: i64,
    /// How far the window lies in the past.
    pub offset_ns: i64,
    /// Grouping written after the function.
    pub grouping: Option<Grouping>,
}

/// Functions of the series at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are LogQL's")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

impl VectorOp {
    /// Every function.
    pub const ALL: [Self; 12] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::ApproxTopk,
        Self::Sort,
        Self::SortDesc,
    ];

    /// The name in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::ApproxTopk => "approx_topk",
            Self::Sort => "sort",
            Self::SortDesc => "sort_desc",
        }
    }

    /// Whether a number of series is the first argument.
    #[must_use]
    pub const fn takes_count(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::ApproxTopk)
    }
}

/// A function over series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAggregation {
    /// The function.
    pub op: VectorOp,
    /// First argument of `topk` and its kin.
    pub count: Option<usize>,
    /// Which series form a group; `None` is one group of all.
    pub grouping: Option<Grouping>,
    /// What is aggregated.
    pub inner: Box<MetricExpr>,
}

/// Operators between two metric expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are LogQL's")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Compare(CompareOp),
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl BinaryOp {
    /// Whether it combines sets of series, not their values.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }
}

/// Which side of a match may have several series per group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// Neither.
    OneToOne,
    /// `group_left`: the left.
    ManyToOne,
    /// `group_right`: the right.
    OneToMany,
}

/// How series of both sides find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// `on (…)` instead of `ignoring (…)`.
    pub on: bool,
    /// The labels compared, or left out of the comparison.
    pub labels: Vec<String>,
    /// Which side may have several.
    pub cardinality: Cardinality,
    /// Labels taken from the "one" side.
    pub include: Vec<String>,
}

/// Two expressions and an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Comparisons yield 0 or 1 instead of dropping.
    pub return_bool: bool,
    /// Matching as written; `None` compares all labels.
    pub matching: Option<Matching>,
    /// Left operand.
    pub left: MetricExpr,
    /// Right operand.
    pub right: MetricExpr,
}

/// `label_replace(inner, "target", "replacement", "source", "regex")`
#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    /// Series whose labels change.
    pub inner: MetricExpr,
    /// Label that is set.
    pub target: String,
    /// Its new value, with `$1` and `${name}`.
    pub replacement: String,
    /// Label that is looked at.
    pub source: String,
    /// Matches the whole value of `source`.
    pub regex: String,
}
