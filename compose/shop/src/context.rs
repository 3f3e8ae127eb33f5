//! The request a service works on: its trace, its span in it, and its correlation id.
//!
//! A request that brings a valid `traceparent` continues that trace; any other begins one. Ids from outside are
//! checked before they are logged or passed on.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The id that customers are told, and that services log which know nothing of traces.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

const MAX_CORRELATION_ID_BYTES: usize = 64;

/// Ids of one request in one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// 32 hexadecimal digits.
    pub(crate) trace_id: String,
    /// 16 hexadecimal digits: this service's part.
    pub(crate) span_id: String,
    /// The caller's part, if there was a caller.
    pub(crate) parent_span_id: Option<String>,
    /// The same in every service.
    pub(crate) correlation_id: String,
}

impl Context {
    /// A request that nobody else has seen.
    pub(crate) fn root(random: &mut fastrand::Rng) -> Self {
        Self {
            trace_id: hex(random, 32),
            span_id: hex(random, 16),
            parent_span_id: None,
            correlation_id: uuid(random),
        }
    }

    /// Continues what the headers tell of, as far as they can be trusted.
    pub(crate) fn continued(headers: &HeaderMap, random: &mut fastrand::Rng) -> Self {
        let mut context = Self::root(random);
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if let Some((trace_id, parent)) = text(TRACEPARENT).and_then(parse_traceparent) {
            context.trace_id = trace_id.to_owned();
            context.parent_span_id = Some(parent.to_owned());
        }
        if let Some(id) = text(CORRELATION_ID).filter(|id| is_correlation_id(id)) {
            context.correlation_id = id.to_owned();
        }
        context
    }

    /// The headers for a request made on behalf of this one.
    pub(crate) fn headers(&self) -> [(HeaderName, String); 2] {
        [
            (TRACEPARENT, format!("00-{}-{}-01", self.trace_id, self.span_id)),
            (CORRELATION_ID, self.correlation_id.clone()),
        ]
    }
}

/// Trace id and span id of `00-<trace id>-<span id>-<flags>`.
fn parse_traceparent(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_id = |id: &str, digits| is_lower_hex(id, digits) && id.bytes().any(|digit| digit != b'0');
    let is_known = version == "00" && parts.next().is_none() && is_lower_hex(flags, 2);
    (is_known && is_id(trace_id, 32) && is_id(span_id, 16)).then_some((trace_id, span_id))
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_correlation_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_CORRELATION_ID_BYTES
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Hexadecimal digits, the last of which is not zero: ids of zeros alone are invalid.
fn hex(random: &mut fastrand::Rng, digits: usize) -> String {
    let mut text = String::with_capacity(digits);
    for _ in 1..digits {
        text.push(char::from_digit(random.u32(..16), 16).unwrap_or('0'));
    }
    text.push(char::from_digit(random.u32(1..16), 16).unwrap_or('1'));
    text
}

/// A random UUID, version 4.
pub(crate) fn uuid(random: &mut fastrand::Rng) -> String {
    let bits = (random.u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(traceparent: &str, correlation_id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.parse().unwrap());
        headers.insert(CORRELATION_ID, correlation_id.parse().unwrap());
        headers
    }

    #[test]
    fn a_trace_goes_on_under_a_span_of_its_own() {
        let mut random = fastrand::Rng::with_seed(1);
        let context = Context::continued(&headers(&format!("00-{TRACE}-{SPAN}-01"), "order-7"), &mut random);
        assert_eq!(context.trace_id, TRACE);
        assert_eq!(context.parent_span_id.as_deref(), Some(SPAN));
        assert_ne!(context.span_id, SPAN);
        assert_eq!(context.correlation_id, "order-7");
        let [(_, traceparent), (_, correlation_id)] = context.headers();
        assert_eq!(traceparent, format!("00-{TRACE}-{}-01", context.span_id));
        assert_eq!(correlation_id, "order-7");
    }

    #[test]
    fn ids_that_cannot_be_trusted_are_replaced() {
        let mut random = fastrand::Rng::with_seed(1);
        let zeros = "0".repeat(32);
        for traceparent in [
            "",
            "nonsense",
            &format!("00-{zeros}-{SPAN}-01"),
            &format!("01-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
        ] {
            for correlation_id in ["", "a b", "x\"y", &"x".repeat(65)] {
                let context = Context::continued(&headers(traceparent, correlation_id), &mut random);
                assert_ne!(context.trace_id, TRACE, "{traceparent}");
                assert_eq!(context.parent_span_id, None, "{traceparent}");
                assert_eq!(context.correlation_id.len(), 36, "{correlation_id}");
            }
        }
    }

    #[test]
    fn uuids_are_of_version_4() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let id = uuid(&mut random);
            let digits = id.as_bytes();
            assert_eq!((digits.len(), digits[14]), (36, b'4'), "{id}");
            assert!(matches!(digits[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_ids() {
        let root = || Context::root(&mut fastrand::Rng::with_seed(9));
        assert_eq!(root(), root());
    }
}
