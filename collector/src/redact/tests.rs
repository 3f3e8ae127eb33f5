use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::config::IngestConfig;
use crate::multiline::RawLine;
use crate::parse::{Enricher, Format, ParseOptions};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";

fn masking() -> RedactConfig {
    RedactConfig {
        bearer_tokens: Treatment::Mask,
        url_passwords: Treatment::Mask,
        cards: Treatment::Mask,
        emails: Treatment::Mask,
        hash_key_file: None,
    }
}

fn redactor(config: &RedactConfig) -> Redactor {
    Redactor::new(config, &Registry::new()).unwrap()
}

/// With every rule on `mask`; made once, for the property tests.
static MASKING: LazyLock<Enricher> =
    LazyLock::new(|| Enricher::new(&IngestConfig::default(), redactor(&masking())));
static PLAIN: LazyLock<Enricher> = LazyLock::new(|| Enricher::new(&IngestConfig::default(), Redactor::off()));

fn masked(line: &[u8]) -> String {
    String::from_utf8_lossy(&MASKING.redacted(Bytes::copy_from_slice(line), Format::Auto)).into_owned()
}

#[test]
fn credentials_are_taken_out() {
    for (line, expected) in [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [redacted:token]"),
        ("authorization=bearer%20abc123def456&x=1", "authorization=bearer%20[redacted:token]&x=1"),
        (r#"{"auth":"BEARER abcdefghijklmnopqrstuvwx"}"#, r#"{"auth":"BEARER [redacted:token]"}"#),
        (r#"bearer: "tok-1234567", next"#, r#"bearer: "[redacted:token]", next"#),
        ("Basic dXNlcjpwYXNzd29yZA== done", "Basic [redacted:token] done"),
        (&format!("token={JWT} ok"), "token=[redacted:token] ok"),
        (&format!("Bearer {JWT}"), "Bearer [redacted:token]"),
        (&format!("cookie: jwt={JWT}; {JWT}"), "cookie: jwt=[redacted:token]; [redacted:token]"),
    ] {
        assert_eq!(masked(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn passwords_in_urls_are_taken_out() {
    for (line, expected) in [
        (
            "dial postgres://shop:s3cret@db:5432/orders",
            "dial postgres://shop:[redacted:url_password]@db:5432/orders",
        ),
        ("redis://:s3cret@cache", "redis://:[redacted:url_password]@cache"),
        ("amqp://u:p@ss:w?rd#1@mq/vhost", "amqp://u:[redacted:url_password]@mq/vhost"),
        (r#"{"url":"https:\/\/u:pw@x.org\/a"}"#, r#"{"url":"https:\/\/u:[redacted:url_password]@x.org\/a"}"#),
        (
            "mongodb://a:b@h1,h2/db and https://c:d@h",
            "mongodb://a:[redacted:url_password]@h1,h2/db and https://c:[redacted:url_password]@h",
        ),
    ] {
        assert_eq!(masked(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn cards_are_taken_out() {
    for (line, expected) in [
        ("card 4111111111111111 declined", "card [redacted:card] declined"),
        ("card 4111-1111-1111-1111.", "card [redacted:card]."),
        ("5555 5555 5555 4444", "[redacted:card]"),
        ("amex=378282246310005 amex 3782 822463 10005", "amex=[redacted:card] amex [redacted:card]"),
        ("30569309025904/3530111333300000", "[redacted:card]/[redacted:card]"),
        (r#"{"card":4111111111111111,"n":1}"#, r#"{"card":"[redacted:card]","n":1}"#),
        (r#"{"m":"a \"q\": 4111111111111111, b"}"#, r#"{"m":"a \"q\": [redacted:card], b"}"#),
        ("12 4111111111111111 200", "12 [redacted:card] 200"),
    ] {
        assert_eq!(masked(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn addresses_are_taken_out() {
    for (line, expected) in [
        ("mail to joe.b+x@example.co.uk.", "mail to [redacted:email]."),
        ("<joe@example.org>,ann@example.org", "<[redacted:email]>,[redacted:email]"),
        ("GET /u?email=joe%40example.org&a=1", "GET /u?email=[redacted:email]&a=1"),
        (r#"{"to":"jörg@example.org"}"#, r#"{"to":"[redacted:email]"}"#),
    ] {
        assert_eq!(masked(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn what_only_looks_alike_stays() {
    for line in [
        "",
        "Bearer authentication failed: bearer of bad news, forbearer 1234567890",
        "WWW-Authenticate: Bearer error=\"invalid_token\"",
        "Basic settings loaded, basic authentication off",
        "key eyJ eyJh.b.c eyJhbGciOiJIUzI1NiJ9 alone",
        "http://db:5432/a?b=c git clone ssh://git@github.com/a/b https://@x",
        "npm i left-pad@1.3.0 @scope/pkg@latest user@host a@b @timestamp x@.org",
        "4111111111111112 is no card, 1234567890123456 neither",
        "id 41111111111111110, x4111111111111111, 4111111111111111x, 4111111111111111_1",
        "6c1d8f0e-4111-1111-1111-111111111111 0-4111-1111-1111-1111 4111-1111-1111-1111-2",
        "0.4111111111111111 4111111111111111.5",
        "4111-1111 1111-1111 4111  1111 1111 1111",
        "2026-11-21 15:40:34 20261121154034 1795275634000 1795275634000000 1795275634000000000",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(masked(line.as_bytes()), line);
    }
    let bytes = b"\xff\xfe 4111\xff1111@";
    assert_eq!(redactor(&masking()).line(Bytes::from_static(bytes), |_| HashSet::new()), &bytes[..]);
}

#[test]
fn ids_of_a_line_stay() {
    for line in [
        r#"{"trace_id":"4111111111111111","card":"5555555555554444"}"#,
        r#"{"dd":{"trace_id":4111111111111111},"card":"5555555555554444"}"#,
        "trace_id=4111111111111111 card=5555555555554444",
        "request-id: 4111111111111111, card 5555555555554444",
        "paid (request_id=4111111111111111) 5555555555554444",
        r#"{"x-request-id":"call-7@sip.example.org","card":"5555555555554444"}"#,
    ] {
        let left = masked(line.as_bytes());
        assert!(left.contains("4111111111111111") || left.contains("call-7@sip"), "{left}");
        assert!(!left.contains("5555555555554444"), "{left}");
    }
    let value = |name: &str, value: &str| MASKING.redacted_value(name, value.to_owned());
    assert_eq!(value("trace_id", "4111111111111111"), "4111111111111111");
    assert_eq!(value("user", "joe@example.org"), "[redacted:email]");
}

#[test]
fn hashes_are_alike_for_the_same_secret_and_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let hashed = |key: &str, line: &'static str| {
        let file = dir.path().join("key");
        std::fs::write(&file, key).unwrap();
        let config = RedactConfig {
            cards: Treatment::Hash,
            emails: Treatment::Hash,
            hash_key_file: Some(file),
            ..RedactConfig::default()
        };
        redactor(&config).line(Bytes::from_static(line.as_bytes()), |_| HashSet::new())
    };
    let one = hashed("0123456789abcdef", "4111111111111111");
    assert_eq!(one.len(), "[card:]".len() + 2 * SHOWN_HASH_BYTES);
    assert_eq!(one, hashed("0123456789abcdef\n", "4111-1111-1111-1111"));
    assert_ne!(one, hashed("0123456789abcdeX", "4111111111111111"));
    assert_ne!(one, hashed("0123456789abcdef", "5555555555554444"));
    assert_eq!(hashed("0123456789abcdef", "Joe@x.org"), hashed("0123456789abcdef", "joe%40x.org"));
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "short").unwrap();
    let config =
        |path| RedactConfig { emails: Treatment::Hash, hash_key_file: Some(path), ..RedactConfig::default() };
    for path in [file, dir.path().join("absent")] {
        let name = path.display().to_string();
        let error = Redactor::new(&config(path), &Registry::new()).unwrap_err().to_string();
        assert!(
            error.contains(&name) && error.contains("hash_key_file") && !error.contains("short\""),
            "{error}"
        );
    }
    let keyless = RedactConfig { emails: Treatment::Hash, ..RedactConfig::default() };
    assert_eq!(keyless.validate()[0].0, "emails");
}

#[test]
fn redactions_are_counted_and_rules_are_apart() {
    let registry = Registry::new();
    let config = RedactConfig { cards: Treatment::Mask, ..RedactConfig::default() };
    let redactor = Redactor::new(&config, &registry).unwrap();
    let line = Bytes::from_static(b"4111111111111111 joe@example.org 5555555555554444");
    let left = redactor.line(line, |_| HashSet::new());
    assert_eq!(left, "[redacted:card] joe@example.org [redacted:card]");
    let families = registry.gather();
    let counted: f64 = families[0].get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
    assert_eq!((families[0].name(), counted), ("binnacle_redactions_total", 2.0));
}

#[test]
fn what_is_derived_comes_from_the_line_that_is_left() {
    let line = br#"{"level":"info","request_id":"r-1","msg":"joe@example.org"}"#;
    let raw = RawLine { timestamp_ns: 1, line: Bytes::from_static(line), truncated_from: None };
    let record = MASKING.record(raw, &Arc::default(), &[], ParseOptions::default());
    assert_eq!(record.line, r#"{"level":"info","request_id":"r-1","msg":"[redacted:email]"}"#);
    assert_eq!(record.pair("correlation_id"), Some("r-1"));
}

/// Lines made to be slow: each would take minutes if a rule looked at any part of it once for every other.
#[test]
fn hostile_lines_cost_no_more_than_their_length() {
    for pattern in [
        "://a@", "@", "a@", "%40", "eyJ.", "eyJ-", "Bearer ", "bearer=", "basic ", "4", "4 ", "4111-", "a://",
    ] {
        let line = pattern.repeat((1 << 20) / pattern.len());
        let left = masked(line.as_bytes());
        assert!(left.len() <= line.len() * 8, "{pattern}");
    }
    let ids: String = (0..20_000).map(|i| format!("trace_id={i} 4111111111111111 ")).collect();
    assert_eq!(masked(ids.as_bytes()).matches("[redacted:card]").count(), 20_000);
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9._-]{7,30}[0-9]".prop_map(|token| format!("Bearer {token}")),
        "[a-z][a-z0-9.]{0,10}[a-z0-9]@[a-z]{1,9}[.][a-z]{2,5}",
        "[a-z]{2,8}://[a-z]{1,8}:[A-Za-z0-9!$&*+=@]{1,12}@[a-z]{1,8}/",
        Just("4111111111111111".to_owned()),
        Just("3782 822463 10005".to_owned()),
    ]
}

/// The part of [`secret`] that must not be stored.
fn core(secret: &str) -> String {
    if let Some(token) = secret.strip_prefix("Bearer ") {
        return token.to_owned();
    }
    match (secret.split_once("://"), secret.rsplit_once('@')) {
        (Some((_, rest)), Some(_)) => {
            let (user, _) = rest.rsplit_once('@').unwrap();
            format!(":{}@", user.split_once(':').unwrap().1)
        }
        _ => secret.to_owned(),
    }
}

proptest! {
    #[test]
    fn secrets_never_survive_whatever_stands_around(
        before in "[ -~]{0,20}", secrets in prop::collection::vec(secret(), 1..4), after in "[ -~]{0,20}",
    ) {
        let line = format!("{before} {} {after}", secrets.join(" , "));
        let left = masked(line.as_bytes());
        for secret in &secrets {
            // An id may look like a card or an address and stays.
            let is_id = ["id", "Id", "@tr", "@sp"].iter().any(|name| before.contains(name));
            prop_assert!(is_id || !left.contains(&core(secret)), "{secret} in {left}");
        }
        prop_assert_eq!(masked(left.as_bytes()), left, "twice is as once");
    }

    #[test]
    fn json_stays_json(texts in prop::collection::vec("[ -~é\"\\\\]{0,12}", 0..4), secrets in prop::collection::vec(secret(), 1..4)) {
        let object = serde_json::json!({"a": texts, "b": secrets.join(" "), "c": 4111111111111111_u64, "d": {"e": secrets}});
        let left = masked(object.to_string().as_bytes());
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&left);
        prop_assert!(parsed.is_ok(), "{left}");
        prop_assert_eq!(&parsed.unwrap()["c"], "[redacted:card]");
    }

    #[test]
    fn ids_survive_in_every_shape(
        trace in "[0-9a-f]{32}|[0-9]{13,19}|4[0-9]{15}|[0-9]{8}-[0-9]{4}-4[0-9]{3}-[0-9]{4}-[0-9]{12}",
        span in "[0-9a-f]{16}|[0-9]{16}",
        shape in 0..4,
    ) {
        let line = match shape {
            0 => format!(r#"{{"msg":"joe@example.org","trace_id":"{trace}","span_id":"{span}"}}"#),
            1 => format!("msg=joe@example.org trace_id={trace} span_id={span}"),
            2 => format!("paid by joe@example.org (trace_id={trace}, span_id={span})"),
            _ => format!(r#"{{"a":{{"trace_id":"{trace}","span_id":"{span}"}},"to":"joe@example.org"}}"#),
        };
        let pairs = |enricher: &Enricher| {
            let raw = RawLine { timestamp_ns: 1, line: line.clone().into(), truncated_from: None };
            let record = enricher.record(raw, &Arc::default(), &[], ParseOptions::default());
            (record.pairs, record.line)
        };
        let (without, with) = (pairs(&PLAIN), pairs(&MASKING));
        prop_assert_eq!(without.0, with.0);
        prop_assert!(!String::from_utf8_lossy(&with.1).contains("joe@example.org"));
    }
}
