//! Expressions that yield numbers.

use super::{CompareOp, LabelFilter, LogExpr};

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
