use proptest::prelude::*;
use store::{Labels, Level};

use super::*;
use crate::filter::{Row, RowPairs};

fn record(line: &str, level: Level) -> store::Record {
    store::Record {
        timestamp_ns: 0,
        labels: std::sync::Arc::new(Labels::new([
            ("service_name", "checkout"),
            ("container", "shop-checkout-1"),
        ])),
        line: line.to_owned().into_bytes().into(),
        level,
        pairs: vec![store::Pair {
            origin: store::Origin::Derived,
            name: "trace_id".into(),
            value: "4BF92f".into(),
        }],
    }
}

fn finds(query: &str, line: &str) -> bool {
    let record = record(line, Level::Error);
    let filter = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let row = Row { pairs: RowPairs::Record(&record), ..Row::of_record(&record) };
    let whole = filter.is_match(&row);
    let rest = filter.for_stream(&record.labels).is_some_and(|f| f.is_match(&row));
    assert_eq!(whole, rest, "{query}: knowing the labels changes the answer");
    whole
}

#[test]
fn terms_match_as_documented() {
    let line = r#"{"msg":"payment declined","status":502,"took":"1.5s","user":{"id":"u-77"},"path":"/api/v1/orders"}"#;
    for (query, expected) in [
        ("", true),
        ("*", true),
        ("payment", true),
        ("PAYMENT declined", true),
        ("declined payment", true),
        ("\"payment declined\"", true),
        ("'payment declined'", true),
        ("\"declined payment\"", false),
        ("pay", false),
        ("pay*", true),
        ("\"payment decl\"*", true),
        ("/pay.*d/", true),
        ("/Pay/", false),
        ("/decl(ined|x)\\\"/", true),
        ("/api/v1/orders", true),
        ("-payment", false),
        ("NOT payment", false),
        ("-nothing", true),
        ("+payment", true),
        ("nothing OR payment", true),
        ("nothing payment OR declined", true),
        ("nothing OR payment nothing", false),
        ("nothing AND payment OR declined", true),
        ("payment AND (nothing OR declined)", true),
        ("(nothing OR payment) (declined OR nothing)", true),
        ("NOT (nothing OR payment)", false),
        ("payment AND NOT nothing", true),
        ("service:checkout", true),
        ("service_name:Checkout", true),
        ("service:check", false),
        ("service:check*", true),
        ("service:/^ch/", true),
        ("container:shop*", true),
        ("service:(cart OR checkout)", true),
        ("service:IN [cart checkout]", true),
        ("service:*", true),
        ("trace_id:4bf92F", true),
        ("trace_id:4bf", false),
        ("level:error", true),
        ("level:ERR", true),
        ("level:warn", false),
        ("level:>=warn", true),
        ("level:>error", false),
        ("level:<=error", true),
        ("level:[debug TO error}", false),
        ("level:(warn OR error)", true),
        ("-level:info", true),
        ("level:*", true),
        ("status:502", true),
        ("status:50", false),
        ("status:[500 TO 599]", true),
        ("status:{502 TO 599]", false),
        ("status:>=500", true),
        ("status:>= 500", true),
        ("status:<500", false),
        ("status:[* TO 502]", true),
        ("took:>1s", true),
        ("took:<1500ms", false),
        ("took:<=1500ms", true),
        ("user.id:u-77", true),
        ("user.id:u", true),
        ("user.id:*", true),
        ("user.name:*", false),
        ("msg:declined", true),
        ("msg:\"payment declined\"", true),
        ("msg:decl*", true),
        ("msg:/^pay/", true),
        ("msg:502", false),
        ("path:/api/v1/orders", true),
        ("path: orders", true),
        ("payment\\*", false),
    ] {
        assert_eq!(finds(query, line), expected, "{query}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (query, position, part) in [
        ("a AND", 5, "a term is missing"),
        ("OR b", 0, "before `OR`"),
        ("(a b", 0, "never closed"),
        ("a b)", 3, "without a `(`"),
        ("a ()", 2, "nothing stands between"),
        ("é \"abc", 2, "never closed"),
        ("a status:", 9, "value is missing"),
        ("a status:[1 TO", 9, "never closed"),
        ("a status:[1 2]", 2, "range"),
        ("[1 TO 2]", 0, "needs a field"),
        ("a /(/", 2, "regular expression"),
        ("a b^2", 2, "`^`"),
        ("\"a b\"~2", 0, "`~`"),
        ("p*y", 0, "`*`"),
        ("a - b", 2, "stands alone"),
        ("\"\"", 0, "no text"),
        ("it's", 0, "double quotes"),
        ("level:>=loud", 0, "no level"),
        ("a level:eror", 2, "did you mean `error`?"),
        ("level:\"warning!\"", 0, "no level"),
        ("level:(warn OR infoo)", 15, "did you mean `info`?"),
        ("level:IN [warn fatl]", 0, "did you mean `fatal`?"),
        (":x", 0, "double quotes"),
    ] {
        let error = parse(query).err().unwrap_or_else(|| panic!("{query} was understood"));
        assert_eq!(error.position, position, "{query}: {error}");
        assert!(error.message.contains(part), "{query}: {error}");
    }
    assert_eq!(parse("é \"abc").unwrap_err().pointer(), "é \"abc\n  ^");
}

#[test]
fn hostile_queries_are_refused_and_not_followed() {
    for query in ["(".repeat(10_000), "NOT ".repeat(4_000), "-".repeat(10_000) + "x", "a ".repeat(20_000)] {
        assert!(parse(&query).is_err());
    }
    assert!(parse(&format!("{}a{}", "(".repeat(60), ")".repeat(60))).is_ok());
}

proptest! {
    #[test]
    fn no_input_panics(query in "\\PC{0,40}|[-+a-z:\"'/()\\[\\]{}*<>=~^\\\\ ]{0,30}") {
        if let Err(error) = parse(&query) {
            prop_assert!(error.position <= query.chars().count());
        }
    }

    #[test]
    fn quoting_finds_any_text_as_it_is(text in "[ -~]{1,20}") {
        let query = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert!(finds(&query, &text));
    }
}
