use super::parse;

#[test]
fn smoke() {
    for q in ["{a=\"b\"}", "sum by (x) (rate({a=\"b\"} | json [5m]))"] {
        let e = parse(q).unwrap();
        assert_eq!(parse(&e.to_string()).unwrap(), e);
    }
}
