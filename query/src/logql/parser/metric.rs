//! Metric expressions: aggregations, operators, literals.

use super::super::ast::*;
use super::{Operand, ParseError, Parser, Token};

impl Parser {
    /// Operators that bind at least as tightly as `min_precedence`.
    pub(super) fn expr(&mut self, min_precedence: u8) -> Result<Operand, ParseError> {
        self.nested(|parser| {
            let mut left = parser.primary()?;
            while let Some((op, precedence)) = parser.binary_op() {
                if precedence < min_precedence {
                    break;
                }
                parser.at += 1;
                let (return_bool, matching) = parser.modifiers()?;
                // `^` groups to the right
                let right_min = if op == BinaryOp::Power { precedence } else { precedence + 1 };
                let right = parser.expr(right_min)?;
                left = Operand::Metric(binary(op, return_bool, matching, left, right)?);
            }
            Ok(left)
        })
    }

    fn binary_op(&self) -> Option<(BinaryOp, u8)> {
        Some(match self.peek() {
            Token::Keyword("or") => (BinaryOp::Or, 1),
            Token::Keyword("and") => (BinaryOp::And, 2),
            Token::Keyword("unless") => (BinaryOp::Unless, 2),
            Token::Symbol("==") => (BinaryOp::Compare(CompareOp::Equal), 3),
            Token::Symbol("!=") => (BinaryOp::Compare(CompareOp::NotEqual), 3),
            Token::Symbol(">") => (BinaryOp::Compare(CompareOp::Greater), 3),
            Token::Symbol(">=") => (BinaryOp::Compare(CompareOp::GreaterEqual), 3),
            Token::Symbol("<") => (BinaryOp::Compare(CompareOp::Less), 3),
            Token::Symbol("<=") => (BinaryOp::Compare(CompareOp::LessEqual), 3),
            Token::Symbol("+") => (BinaryOp::Add, 4),
            Token::Symbol("-") => (BinaryOp::Subtract, 4),
            Token::Symbol("*") => (BinaryOp::Multiply, 5),
            Token::Symbol("/") => (BinaryOp::Divide, 5),
            Token::Symbol("%") => (BinaryOp::Modulo, 5),
            Token::Symbol("^") => (BinaryOp::Power, 6),
            _ => return None,
        })
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` after an operator.
    fn modifiers(&mut self) -> Result<(bool, Option<Matching>), ParseError> {
        let return_bool = self.accept_keyword("bool");
        let on = self.accept_keyword("on");
        if !on && !self.accept_keyword("ignoring") {
            return Ok((return_bool, None));
        }
        let labels = self.label_list()?;
        let cardinality = if self.accept_keyword("group_left") {
            Cardinality::ManyToOne
        } else if self.accept_keyword("group_right") {
            Cardinality::OneToMany
        } else {
            Cardinality::OneToOne
        };
        // A list after `group_left` and a right operand in parentheses look alike: it is a list when it
        // holds only names and something follows that begins an operand.
        let include = if cardinality != Cardinality::OneToOne && self.label_list_follows() {
            self.label_list()?
        } else {
            Vec::new()
        };
        Ok((return_bool, Some(Matching { on, labels, cardinality, include })))
    }

    fn label_list_follows(&self) -> bool {
        *self.peek() == Token::Symbol("(")
            && (*self.peek_at(1) == Token::Symbol(")")
                || (matches!(self.peek_at(1), Token::Identifier(_))
                    && matches!(self.peek_at(2), Token::Symbol("," | ")"))))
    }

    fn primary(&mut self) -> Result<Operand, ParseError> {
        match *self.peek() {
            Token::Symbol("{") => {
                let matchers = self.selector()?;
                Ok(Operand::Log(LogExpr { matchers, stages: self.stages()? }))
            }
            Token::Symbol("(") => {
                self.at += 1;
                let inner = self.expr(0)?;
                self.expect_symbol(")")?;
                Ok(inner)
            }
            Token::Number(_) | Token::Symbol("+" | "-") => {
                Ok(Operand::Metric(MetricExpr::Literal(self.signed_number()?)))
            }
            Token::Function(name) => {
                self.at += 1;
                self.call(name).map(Operand::Metric)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn signed_number(&mut self) -> Result<f64, ParseError> {
        if self.accept_symbol("-") {
            return Ok(-self.number()?);
        }
        self.accept_symbol("+");
        self.number()
    }

    fn call(&mut self, name: &str) -> Result<MetricExpr, ParseError> {
        if let Some(op) = RangeOp::ALL.into_iter().find(|op| op.name() == name) {
            return self.range_aggregation(op);
        }
        if let Some(op) = VectorOp::ALL.into_iter().find(|op| op.name() == name) {
            return self.vector_aggregation(op);
        }
        match name {
            "label_replace" => self.label_replace(),
            "vector" => {
                self.expect_symbol("(")?;
                let value = self.number()?;
                self.expect_symbol(")")?;
                Ok(MetricExpr::Scalar(value))
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn metric(&mut self) -> Result<MetricExpr, ParseError> {
        let position = self.position();
        match self.expr(0)? {
            Operand::Metric(metric) => Ok(metric),
            Operand::Log(_) => Err(ParseError::at(
                position,
                "syntax error: unexpected selector, expecting a metric expression".to_owned(),
            )),
        }
    }

    fn label_replace(&mut self) -> Result<MetricExpr, ParseError> {
        self.expect_symbol("(")?;
        let inner = self.metric()?;
        let mut texts: [String; 4] = Default::default();
        for text in &mut texts {
            self.expect_symbol(",")?;
            *text = self.string()?;
        }
        self.expect_symbol(")")?;
        let [target, replacement, source, regex] = texts;
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace { inner, target, replacement, source, regex })))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let by = self.accept_keyword("by");
        if !by && !self.accept_keyword("without") {
            return Ok(None);
        }
        Ok(Some(Grouping { without: !by, labels: self.label_list()? }))
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<MetricExpr, ParseError> {
        let before = self.grouping()?;
        self.expect_symbol("(")?;
        let parameter = match (self.peek(), self.peek_at(1)) {
            (Token::Number(text), Token::Symbol(",")) => {
                let text = text.clone();
                self.at += 2;
                Some(text)
            }
            _ => None,
        };
        let inner = self.metric()?;
        self.expect_symbol(")")?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let count = check_count(op, parameter.as_deref())?;
        let forbidden = matches!(op, VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk);
        if forbidden && grouping.is_some() {
            return Err(ParseError::new(format!("grouping not allowed for {} aggregation", op.name())));
        }
        Ok(MetricExpr::Vector(VectorAggregation { op, count, grouping, inner: Box::new(inner) }))
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Result<MetricExpr, ParseError> {
        self.expect_symbol("(")?;
        let parameter = match self.peek() {
            Token::Number(_) => {
                let value = self.number()?;
                self.expect_symbol(",")?;
                Some(value)
            }
            _ => None,
        };
        let range = self.log_range()?;
        self.expect_symbol(")")?;
        let grouping = self.grouping()?;
        let range = RangeAggregation { op, parameter, grouping, ..range };
        check_range(&range)?;
        Ok(MetricExpr::Range(range))
    }

    /// A selector with pipeline, unwrap, `[range]` and offset in one of the orders Loki allows. The
    /// function itself is filled in by the caller.
    fn log_range(&mut self) -> Result<RangeAggregation, ParseError> {
        let parenthesised = self.accept_symbol("(");
        if parenthesised && self.is_symbol("(") {
            let inner = self.nested(Self::log_range)?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let mut log = LogExpr { matchers: self.selector()?, stages: self.stages()? };
        let mut unwrap = self.unwrap()?;
        let bare = log.stages.is_empty() && unwrap.is_none();
        // `( selector … ) [5m]` against `( selector [5m] … )`
        let range_outside = parenthesised && self.accept_symbol(")");
        let Token::Range(range_ns) = *self.peek() else { return Err(self.expected("RANGE")) };
        self.at += 1;
        let offset_ns = self.offset()?;
        if bare {
            if !range_outside {
                log.stages = self.stages()?;
            }
            unwrap = self.unwrap()?;
        }
        if parenthesised && !range_outside {
            self.expect_symbol(")")?;
        }
        Ok(RangeAggregation {
            op: RangeOp::Rate,
            parameter: None,
            log,
            unwrap,
            range_ns,
            offset_ns,
            grouping: None,
        })
    }

    fn offset(&mut self) -> Result<i64, ParseError> {
        if !self.accept_keyword("offset") {
            return Ok(0);
        }
        let Token::Duration(offset_ns) = *self.peek() else { return Err(self.expected("DURATION")) };
        self.at += 1;
        Ok(offset_ns)
    }
}

fn check_count(op: VectorOp, parameter: Option<&str>) -> Result<Option<usize>, ParseError> {
    let name = op.name();
    match (op.takes_count(), parameter) {
        (true, None) => Err(ParseError::new(format!("parameter required for operation {name}"))),
        (false, Some(text)) => {
            Err(ParseError::new(format!("unsupported parameter for operation {name}({text},")))
        }
        (false, None) => Ok(None),
        (true, Some(text)) => match text.parse::<usize>() {
            Ok(0) => {
                Err(ParseError::new(format!("invalid parameter (must be greater than 0) {name}({text},")))
            }
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(ParseError::new(format!("invalid parameter {name}({text},"))),
        },
    }
}

fn check_range(range: &RangeAggregation) -> Result<(), ParseError> {
    let name = range.op.name();
    if range.op == RangeOp::QuantileOverTime && range.parameter.is_none() {
        return Err(ParseError::new(format!("parameter required for operation {name}")));
    }
    if range.op != RangeOp::QuantileOverTime && range.parameter.is_some() {
        return Err(ParseError::new(format!("parameter not supported for operation {name}")));
    }
    let groups = !matches!(
        range.op,
        RangeOp::Rate
            | RangeOp::RateCounter
            | RangeOp::CountOverTime
            | RangeOp::BytesRate
            | RangeOp::BytesOverTime
            | RangeOp::SumOverTime
            | RangeOp::AbsentOverTime
    );
    if range.grouping.is_some() && !groups {
        return Err(ParseError::new(format!("grouping not allowed for {name} aggregation")));
    }
    let forbidden = matches!(range.op, RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime);
    let optional = matches!(range.op, RangeOp::Rate | RangeOp::AbsentOverTime);
    if range.unwrap.is_some() && forbidden {
        return Err(ParseError::new(format!("invalid aggregation {name} with unwrap")));
    }
    if range.unwrap.is_none() && !forbidden && !optional {
        return Err(ParseError::new(format!("invalid aggregation {name} without unwrap")));
    }
    Ok(())
}

fn binary(
    op: BinaryOp,
    return_bool: bool,
    matching: Option<Matching>,
    left: Operand,
    right: Operand,
) -> Result<MetricExpr, ParseError> {
    let leg = |side: &str, operand| match operand {
        Operand::Metric(metric) => Ok(metric),
        Operand::Log(_) => Err(ParseError::new(format!(
            "unexpected type for {side} leg of binary operation ({op}): a log selector"
        ))),
    };
    let (left, right) = (leg("left", left)?, leg("right", right)?);
    if op.is_set() {
        for (side, operand) in [("left", &left), ("right", &right)] {
            if let MetricExpr::Literal(value) = operand {
                return Err(ParseError::new(format!(
                    "unexpected literal for {side} leg of logical/set binary operation ({op}): {value:.6}"
                )));
            }
        }
        if matching.as_ref().is_some_and(|m| m.cardinality != Cardinality::OneToOne) {
            return Err(ParseError::new(format!("no grouping allowed for {op} operation")));
        }
    }
    if let Some(matching) = &matching
        && matching.on
        && let Some(label) = matching.include.iter().find(|label| matching.labels.contains(label))
    {
        return Err(ParseError::new(format!(
            "label \"{label}\" must not occur in ON and GROUP clause at once"
        )));
    }
    if let (MetricExpr::Literal(a), MetricExpr::Literal(b)) = (&left, &right) {
        return Ok(MetricExpr::Literal(super::super::arithmetic::apply(op, *a, *b)));
    }
    Ok(MetricExpr::Binary(Box::new(Binary { op, return_bool, matching, left, right })))
}
