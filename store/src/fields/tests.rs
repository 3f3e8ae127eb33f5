//! Tables of lines, and JSON against `serde_json`.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;

fn all(line: &[u8], shape: Shape) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for_each(line, shape, |path, value| {
        found.push((path.to_owned(), value.text().into_owned()));
        ControlFlow::Continue(())
    });
    found
}

fn assert_fields(line: &str, shape: Shape, expected: &[(&str, &str)]) {
    assert_eq!(Shape::detect(line.as_bytes()), shape, "{line}");
    let expected: Vec<_> = expected.iter().map(|(p, v)| ((*p).to_owned(), (*v).to_owned())).collect();
    assert_eq!(all(line.as_bytes(), shape), expected, "{line}");
}

#[test]
fn json_gives_paths_and_texts() {
    assert_fields(
        r#" {"a":1, "b" : "x\"\u00e9\ud83d\ude00\n", "c":{"d":true,"e":{"f":null}},"g":[1,{"h":-2.5e3}],"i.j":"k","l":{}}"#,
        Shape::Json,
        &[
            ("a", "1"),
            ("b", "x\"é😀\n"),
            ("c.d", "true"),
            ("c.e.f", "null"),
            ("g[0]", "1"),
            ("g[1].h", "-2.5e3"),
            ("i.j", "k"),
        ],
    );
}

#[test]
fn broken_json_gives_the_fields_before_the_damage() {
    for line in [
        r#"{"a":"1","b":"#,
        r#"{"a":"1","b":"cut"#,
        r#"{"a":"1",,"#,
        r#"{"a":"1" "b":2}"#,
        r#"{"a":"1",x"#,
        r#"{"a":"1","":}"#,
    ] {
        assert_eq!(all(line.as_bytes(), Shape::Json), [("a".to_owned(), "1".to_owned())], "{line}");
    }
}

#[test]
fn json_names_are_texts_wherever_they_stand_and_whatever_stands_before() {
    let long = "é".repeat(5 << 10);
    for before in [&b"x"[..], b"\xff", "é".as_bytes(), long.as_bytes(), b"\xc3"] {
        let line = [b"{\"p\":\"", before, b"\",\"\xc3\xa9\":1,\"a\xff\":2,\"\\u00e9\":3}"].concat();
        let names: Vec<String> = all(&line, Shape::Json).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["p", "é", "a\u{fffd}", "é"]);
    }
}

#[test]
fn json_reach_bounds_depth_and_arrays() {
    let line = br#"{"a":{"b":{"c":1},"d":2},"e":[{"f":3}],"g":4}"#;
    let mut found = Vec::new();
    for_each_within(line, Shape::Json, Reach { depth: 2, arrays: false }, |path, _| {
        found.push(path.to_owned());
        ControlFlow::Continue(())
    });
    assert_eq!(found, ["a.d", "g"]);
}

#[test]
fn logfmt_gives_quoted_and_bare_values() {
    assert_fields(
        r#"ts=1 msg="a \"b\" c" empty= bare list=a,b event='Connection refused' it='s url=/x?a=b"#,
        Shape::Logfmt,
        &[
            ("ts", "1"),
            ("msg", "a \"b\" c"),
            ("empty", ""),
            ("list", "a,b"),
            ("event", "Connection refused"),
            ("it", "'s"),
            ("url", "/x?a=b"),
        ],
    );
    assert_fields("a=\"no end b=c", Shape::Logfmt, &[("a", "no end b=c")]);
}

#[test]
fn plain_text_gives_its_pairs() {
    assert_fields(
        "order failed (trace_id=4bf9, user=\"bo b\") a==b c != d x= y /p?q=1&r=2 end=yes.",
        Shape::Plain,
        &[("trace_id", "4bf9"), ("user", "bo b"), ("q", "1"), ("r", "2"), ("end", "yes")],
    );
    assert_fields(
        "INFO \x1b[36mtrace_id=\x1b[0mabc \x1b[1;36mb=\x1b[0md\x1b[0m",
        Shape::Plain,
        &[("trace_id", "abc"), ("b", "d")],
    );
}

#[test]
fn access_logs_give_request_and_status() {
    assert_fields(
        r#"10.0.0.7 - bob [01/Jan/2024:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 500 1234 "-" "curl/7.68.0""#,
        Shape::Access,
        &[
            ("remote_addr", "10.0.0.7"),
            ("remote_user", "bob"),
            ("time", "01/Jan/2024:10:00:00 +0000"),
            ("method", "GET"),
            ("path", "/a?b=c"),
            ("protocol", "HTTP/1.1"),
            ("status", "500"),
            ("bytes", "1234"),
            ("user_agent", "curl/7.68.0"),
        ],
    );
    assert_fields(
        r#"shop.test:443 ::1 - - [01/Jan/2024:10:00:00 +0000] "POST / HTTP/2.0" 204 0 "http://r" "a \"b\"" 12 "web@docker" "http://10.0.0.2:80" 3ms"#,
        Shape::Access,
        &[
            ("virtual_host", "shop.test:443"),
            ("remote_addr", "::1"),
            ("time", "01/Jan/2024:10:00:00 +0000"),
            ("method", "POST"),
            ("path", "/"),
            ("protocol", "HTTP/2.0"),
            ("status", "204"),
            ("bytes", "0"),
            ("referer", "http://r"),
            ("user_agent", "a \\\"b\\\""),
            ("request_count", "12"),
            ("router", "web@docker"),
            ("upstream", "http://10.0.0.2:80"),
            ("duration", "3ms"),
        ],
    );
    assert_fields(
        r#"[2024-01-01T10:00:00.123Z] "GET /x HTTP/1.1" 200 - 0 17 5 4 "-" "ua" "6c1d" "shop" "10.0.0.3:80""#,
        Shape::Access,
        &[
            ("time", "2024-01-01T10:00:00.123Z"),
            ("method", "GET"),
            ("path", "/x"),
            ("protocol", "HTTP/1.1"),
            ("status", "200"),
            ("bytes_received", "0"),
            ("bytes", "17"),
            ("duration", "5"),
            ("upstream_duration", "4"),
            ("user_agent", "ua"),
            ("request_id", "6c1d"),
            ("authority", "shop"),
            ("upstream", "10.0.0.3:80"),
        ],
    );
}

#[test]
fn shapes_are_told_apart() {
    for (line, shape) in [
        ("", Shape::Plain),
        ("{}", Shape::Json),
        ("{x}", Shape::Plain),
        ("[1,2]", Shape::Plain),
        ("a = b", Shape::Plain),
        ("a==b", Shape::Plain),
        ("=b", Shape::Plain),
        ("level=info", Shape::Logfmt),
        ("2024-01-01T10:00:00Z level=info", Shape::Plain),
        ("[error] 12#12: *1 open() \"/x\" failed", Shape::Plain),
    ] {
        assert_eq!(Shape::detect(line.as_bytes()), shape, "{line}");
    }
}

#[test]
fn get_gives_the_first_field_of_that_path() {
    let line = br#"{"user":{"id":7},"tags":["x"],"user.id":8}"#;
    assert_eq!(get(line, "user.id").as_deref(), Some("7"));
    assert_eq!(get(line, "tags[0]").as_deref(), Some("x"));
    assert_eq!(get(line, "user"), None);
    assert_eq!(get(b"a=1 a=2", "a").as_deref(), Some("1"));
}

#[test]
fn hostile_lines_are_read_in_linear_time() {
    let deep = [b"{\"a\":".repeat(200_000), b"1".to_vec()].concat();
    let arrays = [b"{\"a\":".to_vec(), b"[".repeat(1 << 20)].concat();
    let quotes = b"a=\"\\\"".repeat(200_000);
    let single = b"a='".repeat(300_000);
    let equals = b"=".repeat(1 << 20);
    let name = [b"{\"".to_vec(), b"n".repeat(1 << 20), b"\":1}".to_vec()].concat();
    let nul = vec![0; 1 << 20];
    let long_parent = [
        b"{\"".to_vec(),
        b"n".repeat(1 << 19),
        b"\":{".to_vec(),
        b"\"a\":1,".repeat(80_000),
        b"\"a\":1}}".to_vec(),
    ]
    .concat();
    for line in [&long_parent, &deep, &arrays, &quotes, &single, &equals, &name, &nul] {
        for shape in [Shape::Json, Shape::Logfmt, Shape::Plain, Shape::Access] {
            for_each(line, shape, |_, _| ControlFlow::Continue(()));
        }
    }
    assert_eq!(all(&name, Shape::Json)[0].0.len(), 1 << 20);
}

/// The fields of a `serde_json` tree, by the same rules.
fn flatten(path: &str, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, out);
            }
        }
        serde_json::Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{i}]"), item, out);
            }
        }
        serde_json::Value::String(text) => out.push((path.to_owned(), text.clone())),
        other => out.push((path.to_owned(), other.to_string())),
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(|x: f64| serde_json::json!(x)),
        ".{0,12}".prop_map(Into::into),
        "[ -~]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map(".{1,8}", inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_fields_equal_those_of_serde_json(
        members in proptest::collection::btree_map("[a-z_.\"\\\\é]{1,8}", json_value(), 0..6),
        pretty in any::<bool>(),
    ) {
        let tree = serde_json::Value::Object(members.into_iter().collect());
        let line = if pretty { serde_json::to_vec_pretty(&tree) } else { serde_json::to_vec(&tree) };
        let mut expected = Vec::new();
        flatten("", &tree, &mut expected);
        prop_assert_eq!(all(&line.unwrap(), Shape::Json), expected);
    }

    #[test]
    fn a_cut_json_line_gives_a_prefix_of_its_fields(
        members in proptest::collection::btree_map("[a-z]{1,4}", json_value(), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let tree = serde_json::Value::Object(members.into_iter().collect());
        let line = serde_json::to_vec(&tree).unwrap();
        let whole = all(&line, Shape::Json);
        let part = all(&line[..cut.index(line.len() + 1)], Shape::Json);
        // A number may be cut in its middle: the last field counts by its path alone.
        prop_assert!(part.len() <= whole.len());
        for (i, (path, value)) in part.iter().enumerate() {
            prop_assert_eq!(path, &whole[i].0);
            prop_assert!(i + 1 == part.len() || value == &whole[i].1);
        }
    }

    #[test]
    fn logfmt_reads_back_what_was_written(
        pairs in proptest::collection::vec(("[a-z_.]{1,8}", "[^\\\\\"\\n\\p{C}]{0,16}"), 1..6),
    ) {
        let line: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let line = line.join(" ");
        prop_assert_eq!(Shape::detect(line.as_bytes()), Shape::Logfmt);
        prop_assert_eq!(all(line.as_bytes(), Shape::Logfmt), pairs);
    }

    #[test]
    fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        for shape in [Shape::Json, Shape::Logfmt, Shape::Plain, Shape::Access] {
            all(&line, shape);
        }
        prop_assert_eq!(get(&line, "no such field"), None);
    }

    #[test]
    fn any_text_of_the_marks_that_matter_is_survived(line in "[{}\\[\\]\"\\\\:,=' a1\u{1b}m;/T-]{0,60}") {
        for shape in [Shape::Json, Shape::Logfmt, Shape::Plain, Shape::Access] {
            all(line.as_bytes(), shape);
        }
    }
}
