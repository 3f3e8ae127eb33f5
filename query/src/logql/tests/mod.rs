//! The language as a whole: what parses, what is refused and in which words, and that printing is the
//! inverse of parsing.

mod columnar;
mod planned;

use proptest::prelude::*;

use super::ast::*;
use super::parse;

#[test]
fn canonical_text() {
    for (query, canonical) in [
        ("{ a = \"b\",c!~\"d\" }|=\"x\"", r#"{a="b", c!~"d"} |= "x""#),
        ("{a=`b`}|~`\\d`or`y`|json|x>5 and y=\"z\"", r#"{a="b"} |~ "\\d" or "y" | json | ( x>5 and y="z" )"#),
        (
            "{a=\"b\"} | logfmt --strict --keep-empty a, b=\"c\" | drop x, y=\"1\" | keep z",
            r#"{a="b"} | logfmt --strict --keep-empty a="a", b="c" | drop x, y="1" | keep z"#,
        ),
        ("SUM(Rate({a=\"b\"}[5m])) BY (x)", r#"sum by (x) (rate({a="b"} [5m]))"#),
        (
            "count_over_time({a=\"b\"}[1h] offset 5m |= \"x\")",
            r#"count_over_time({a="b"} |= "x" [1h] offset 5m)"#,
        ),
        (
            "sum_over_time(({a=\"b\"} | unwrap bytes(x) | y > 1KiB)[1m])",
            r#"sum_over_time({a="b"} | unwrap bytes(x) | y>1024B [1m])"#,
        ),
        ("1 + 2 * 3 ^ 2", "19"),
        ("2 ^ 3 ^ 2", "512"),
        ("-2 ^ 2", "4"),
        ("1 > 1 > 1", "0"),
        ("vector(1) + on(a) group_left(b, c) vector(2)", "(vector(1) + on (a) group_left (b, c) vector(2))"),
        ("vector(1) or vector(2) and vector(3)", "(vector(1) or (vector(2) and vector(3)))"),
        ("vector(1) > bool 2", "(vector(1) > bool 2)"),
        (
            "topk(3, sum(rate({a=\"b\"}[1m])) by (x)) without (y)",
            r#"topk without (y) (3, sum by (x) (rate({a="b"} [1m])))"#,
        ),
        ("{a=\"b\"} | x=ip(\"1.2.3.4\") or y<=-1.5h", r#"{a="b"} | ( x=ip("1.2.3.4") or y<=-1h30m )"#),
        ("{a=\"b\"} # comment\n|= \"#\"", r##"{a="b"} |= "#""##),
        ("{rate=\"a\", sum=\"b\"}", r#"{rate="a", sum="b"}"#),
    ] {
        assert_eq!(parse(query).map(|e| e.to_string()).as_deref(), Ok(canonical), "{query}");
    }
}

#[test]
fn refused_in_lokis_words() {
    for (query, message) in [
        ("", "parse error at line 1, col 1: syntax error: unexpected $end"),
        ("{a=\"b\"", "parse error at line 1, col 7: syntax error: unexpected $end"),
        ("{a=\"b\",}", "unexpected }"),
        ("{a='b'}", "parse error at line 1, col 4"),
        ("{a=\"b\"}\n  |= 5", "parse error at line 2, col 6: syntax error: unexpected NUMBER"),
        ("{}", "queries require at least one regexp or equality matcher"),
        ("{a!=\"b\"}", "queries require at least one regexp or equality matcher"),
        ("{a=~\"(\"}", "error parsing regexp: missing closing )"),
        ("{a=\"b\"} |~ \"(\"", "error parsing regexp"),
        ("{a=\"b\"} |~ ip(\"1.2.3.4\")", "ip: invalid operation"),
        ("{a=\"b\"} |= ip(\"x\")", "ip: invalid pattern"),
        ("{a=\"b\"} | regexp \"x\"", "at least one named capture must be supplied"),
        ("{a=\"b\"} | pattern \"x\"", "at least one capture is required"),
        ("{a=\"b\"} |> \"<x>\"", "named captures are not allowed"),
        ("{a=\"b\"} | line_format \"{{.x\"", "invalid line template"),
        ("{a=\"b\"} | label_format x=y, x=z", "not allowed in a single format operation"),
        ("{a=\"b\"} | json x=\"a[\"", "cannot parse JSON expression"),
        ("{a=\"b\"} | x > \"5\"", "unexpected STRING"),
        ("{a=\"b\"} | x == \"5\"", "unexpected STRING"),
        ("rate({a=\"b\"})", "expecting RANGE"),
        ("rate({a=\"b\"}[5])", "not a valid duration string"),
        ("rate({a=\"b\"}[5m]", "unexpected $end"),
        ("rate({a=\"b\"} |= \"x\" [5m] |= \"y\")", "unexpected |="),
        ("count_over_time({a=\"b\"}|unwrap x[5m])", "invalid aggregation count_over_time with unwrap"),
        ("sum_over_time({a=\"b\"}[5m])", "invalid aggregation sum_over_time without unwrap"),
        ("rate({a=\"b\"}[5m]) by (x)", "grouping not allowed for rate aggregation"),
        ("quantile_over_time({a=\"b\"}|unwrap x[5m])", "parameter required for operation quantile_over_time"),
        ("rate(0.5, {a=\"b\"}[5m])", "parameter not supported for operation rate"),
        ("topk(vector(1))", "parameter required for operation topk"),
        ("topk(0, vector(1))", "invalid parameter (must be greater than 0) topk(0,"),
        ("sum(2, vector(1))", "unsupported parameter for operation sum(2,"),
        ("sort(vector(1)) by (x)", "grouping not allowed for sort aggregation"),
        (
            "vector(1) and 2",
            "unexpected literal for right leg of logical/set binary operation (and): 2.000000",
        ),
        ("{a=\"b\"} + 1", "unexpected type for left leg of binary operation (+)"),
        ("vector(1) and on(x) group_left vector(1)", "no grouping allowed for and operation"),
        ("vector(-1)", "unexpected -"),
        ("-vector(1)", "expecting NUMBER"),
        ("label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")", "invalid regex in label_replace"),
    ] {
        let error = parse(query).expect_err(query).to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let query = format!("{}vector(1){}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(parse(&query).unwrap_err().to_string().contains("nested deeper than"));
    let query = format!("{{a=\"b\"}} | {}x=\"y\"", "(".repeat(100_000));
    assert!(parse(&query).unwrap_err().to_string().contains("nested deeper than"));
    let query = format!("1{}", " ^ vector(1)".repeat(100_000));
    assert!(parse(&query).is_err());
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,5}", Just("rate".to_owned()), Just("ip".to_owned())]
        .prop_filter("a keyword is no name", |name| {
            !["by", "on", "and", "or", "bool", "json", "drop", "keep"].contains(&name.as_str())
        })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 .:_-]{1,6}", "\\PC{1,4}", Just("\"\\\n\t`".to_owned())]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual)];
    prop_oneof![
        (name(), op, value()).prop_map(|(name, op, value)| Matcher { name, op, value }),
        (name(), prop_oneof![Just(MatchOp::Regex), Just(MatchOp::NotRegex)], "[a-z.+|]{1,4}\\PC")
            .prop_filter_map("a valid expression", |(name, op, value)| {
                super::regex::Regex::anchored(&value).is_ok().then_some(Matcher { name, op, value })
            }),
    ]
}

fn compare() -> impl Strategy<Value = CompareOp> {
    prop_oneof![
        Just(CompareOp::Equal),
        Just(CompareOp::NotEqual),
        Just(CompareOp::Greater),
        Just(CompareOp::LessEqual)
    ]
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Match),
        (name(), compare(), -1e9..1e9f64).prop_map(|(name, op, value)| LabelFilter::Number {
            name,
            op,
            value
        }),
        (name(), compare(), any::<i32>()).prop_map(|(name, op, ns)| LabelFilter::Duration {
            name,
            op,
            value_ns: i64::from(ns) * 1_000_003
        }),
        (name(), compare(), any::<u32>()).prop_map(|(name, op, value)| LabelFilter::Bytes {
            name,
            op,
            value: u64::from(value)
        }),
        (name(), any::<bool>()).prop_map(|(name, negative)| LabelFilter::Ip {
            name,
            negative,
            range: "10.0.0.0/8".to_owned()
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(a, b, and)| {
            let (a, b) = (Box::new(a), Box::new(b));
            if and { LabelFilter::And(a, b) } else { LabelFilter::Or(a, b) }
        })
    })
}

fn stage() -> impl Strategy<Value = Stage> {
    let extraction =
        || (name(), Just("a.b[0]".to_owned())).prop_map(|(name, expression)| Extraction { name, expression });
    let selection = || prop_oneof![name().prop_map(Selection::Name), matcher().prop_map(Selection::Match)];
    let line_op = prop_oneof![Just(LineOp::Contains), Just(LineOp::NotContains)];
    let line_match = prop_oneof![value().prop_map(LineMatch::Text), Just(LineMatch::Ip("::1".to_owned()))];
    prop_oneof![
        (line_op, prop::collection::vec(line_match, 1..3))
            .prop_map(|(op, alternatives)| Stage::Line(LineFilter { op, alternatives })),
        prop::collection::vec(extraction(), 0..3).prop_map(Stage::Json),
        (any::<bool>(), any::<bool>(), prop::collection::vec(extraction(), 0..3))
            .prop_map(|(strict, keep_empty, fields)| Stage::Logfmt { strict, keep_empty, fields }),
        Just(Stage::Regexp("(?P<x>a+)".to_owned())),
        Just(Stage::Pattern("<a> <_> \"<b>\"".to_owned())),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        label_filter().prop_map(Stage::Label),
        Just(Stage::LineFormat("{{ .x | printf \"%s\" }}\n".to_owned())),
        (name(), name()).prop_map(|(to, from)| Stage::LabelFormat(vec![LabelFormat::Rename { to, from }])),
        prop::collection::vec(selection(), 1..3).prop_map(Stage::Drop),
        prop::collection::vec(selection(), 1..3).prop_map(Stage::Keep),
    ]
}

fn log() -> impl Strategy<Value = LogExpr> {
    (prop::collection::vec(matcher(), 0..2), prop::collection::vec(stage(), 0..4)).prop_map(
        |(mut matchers, mut stages)| {
            matchers.push(Matcher { name: "app".to_owned(), op: MatchOp::Equal, value: "x".to_owned() });
            let mut before: Option<Stage> = None;
            stages.retain(|stage| {
                let keeps = !before.as_ref().is_some_and(|before| takes_in(before, stage));
                before = keeps.then(|| stage.clone()).or_else(|| before.take());
                keeps
            });
            LogExpr { matchers, stages }
        },
    )
}

/// `| drop a != "x"` drops by a matcher, as in Loki: there is no way to write a line filter there.
fn takes_in(before: &Stage, stage: &Stage) -> bool {
    let ends_with_name = matches!(before, Stage::Drop(labels) | Stage::Keep(labels) if matches!(labels.last(), Some(Selection::Name(_))));
    ends_with_name
        && matches!(stage, Stage::Line(LineFilter { op: LineOp::NotContains | LineOp::NotRegex, .. }))
}

fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    let grouping = (any::<bool>(), prop::collection::vec(name(), 0..3));
    prop::option::of(grouping.prop_map(|(without, labels)| Grouping { without, labels }))
}

fn range() -> impl Strategy<Value = MetricExpr> {
    let unwrap = (name(), prop::collection::vec(label_filter(), 0..2)).prop_map(|(label, filters)| Unwrap {
        label,
        conversion: Conversion::Duration,
        filters,
    });
    (log(), unwrap, 1..1_000_000_i64, -1000..1000_i64, grouping(), any::<bool>()).prop_map(
        |(log, unwrap, millis, offset, grouping, quantile)| {
            let range = RangeAggregation {
                op: RangeOp::CountOverTime,
                parameter: None,
                log,
                unwrap: None,
                range_ns: millis * 1_000_000,
                offset_ns: offset * 1_000_000,
                grouping: None,
            };
            MetricExpr::Range(match quantile {
                true => RangeAggregation {
                    op: RangeOp::QuantileOverTime,
                    parameter: Some(0.75),
                    unwrap: Some(unwrap),
                    grouping,
                    ..range
                },
                false => range,
            })
        },
    )
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    prop_oneof![range(), (0..1000_u32).prop_map(|v| MetricExpr::Scalar(f64::from(v)))].prop_recursive(
        3,
        6,
        2,
        |inner| {
            let matching =
                (any::<bool>(), name(), any::<bool>(), name()).prop_map(|(on, label, many, include)| {
                    Matching {
                        on,
                        labels: vec![format!("{label}_m")],
                        cardinality: if many { Cardinality::ManyToOne } else { Cardinality::OneToOne },
                        include: if many { vec![format!("{include}_i")] } else { Vec::new() },
                    }
                });
            prop_oneof![
                (inner.clone(), grouping()).prop_map(|(inner, grouping)| MetricExpr::Vector(
                    VectorAggregation {
                        op: VectorOp::Topk,
                        count: Some(3),
                        grouping,
                        inner: Box::new(inner),
                    }
                )),
                (inner.clone(), inner.clone(), any::<bool>(), prop::option::of(matching)).prop_map(
                    |(left, right, return_bool, matching)| MetricExpr::Binary(Box::new(Binary {
                        op: BinaryOp::Compare(CompareOp::Less),
                        return_bool,
                        matching,
                        left,
                        right,
                    }))
                ),
                (inner, value()).prop_map(|(inner, text)| MetricExpr::LabelReplace(Box::new(LabelReplace {
                    inner,
                    target: "t".to_owned(),
                    replacement: text,
                    source: "s".to_owned(),
                    regex: "(.*)".to_owned(),
                }))),
            ]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn printing_is_the_inverse_of_parsing(expr in prop_oneof![log().prop_map(Expr::Log), metric().prop_map(Expr::Metric)]) {
        let text = expr.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| format!("{e}: {text}")), Ok(expr));
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,40}", tail in "[{}()|=~!<>\"`a-z0-9 .,\\[\\]#-]{0,60}") {
        if let Ok(expr) = parse(&format!("{{a=\"b\"}}{tail}")) {
            prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
        }
        prop_assert!(parse(&text).is_ok() || parse(&text).is_err());
    }
}
