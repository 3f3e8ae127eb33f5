//! What the message of a line says in words: that a request begins or ends, and the line's shape.
//!
//! Pure and linear in the part that is read; only the beginning of a long message is.

use crate::request::known_method;

/// Words are looked for in the first so many bytes: what a line says of its request stands at its beginning.
const READ_BYTES: usize = 200;
/// Of the words that say something.
const LONGEST_WORD: usize = 10;
const SHORTEST_WORD: usize = 3;
/// Longest shape of a message, in bytes.
const MAX_SHAPE_BYTES: usize = 80;

/// What a message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Says {
    /// A request has come in.
    pub(crate) begins: bool,
    /// A request has been answered.
    pub(crate) ends: bool,
    /// It tells of a request to another service.
    pub(crate) outgoing: bool,
}

/// The largest index of a character boundary up to `end`.
pub(crate) fn floor(text: &str, end: usize) -> usize {
    let mut end = end.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// The text up to `bytes`, cut at a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..floor(text, bytes)).unwrap_or_default()
}

/// What the words of a message say.
pub(crate) fn says(message: &str) -> Says {
    let (mut noun, mut begin, mut end, mut outgoing) = (false, false, false, false);
    for word in cut(message, READ_BYTES).as_bytes().split(|byte| !byte.is_ascii_alphanumeric()) {
        let mut buffer = [0; LONGEST_WORD];
        if word.len() < SHORTEST_WORD {
            continue;
        }
        let Some(lower) = buffer.get_mut(..word.len()) else { continue };
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        match &*lower {
            b"request" | b"requests" | b"req" | b"call" | b"rpc" | b"job" | b"task" | b"message" => {
                noun = true;
            }
            b"received" | b"receiving" | b"started" | b"starting" | b"start" | b"begin" | b"beginning"
            | b"begun" | b"incoming" | b"accepted" | b"handling" | b"processing" => begin = true,
            b"completed" | b"complete" | b"finished" | b"finish" | b"done" | b"served" | b"handled"
            | b"processed" | b"answered" | b"responded" | b"response" | b"ended" | b"end" | b"failed" => {
                end = true;
            }
            b"outgoing" | b"calling" | b"outbound" => outgoing = true,
            _ => noun |= is_method(word),
        }
    }
    Says { begins: noun && begin && !end && !outgoing, ends: noun && end && !outgoing, outgoing }
}

/// A verb alone is no noun: `Delete` is, `delete` may be prose.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

fn is_method(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_uppercase) && METHODS.iter().any(|method| method.as_bytes() == word)
}

/// Method and path in a message: `POST /items received`, `Started GET "/items"`.
pub(crate) fn request_of(message: &str) -> Option<(&'static str, &str)> {
    let mut words = cut(message, READ_BYTES).split(' ');
    while let Some(word) = words.next() {
        if !is_method(word.trim_start_matches('"').as_bytes()) {
            continue;
        }
        let path = words.next()?.trim_matches(|c| matches!(c, '"' | '\'' | ',' | ';'));
        if path.starts_with('/') || path.starts_with("http://") || path.starts_with("https://") {
            return Some((known_method(word.trim_start_matches('"'))?, path));
        }
    }
    None
}

/// A plain line taken apart: its logger, and its message without time, level, thread and ids behind it.
pub(crate) fn plain(line: &str) -> (Option<&str>, &str) {
    let mut rest = line.trim_start();
    // Time, date, level, `[thread]` and process id are what stands before the message in most layouts.
    for _ in 0..8 {
        let Some((word, after)) = rest.split_once(' ') else { break };
        let is_head = word.is_empty()
            || word.starts_with('[')
            || word.starts_with(|c: char| c.is_ascii_digit())
            || LEVELS.iter().any(|level| word.trim_end_matches(':').eq_ignore_ascii_case(level))
            || word.ends_with(']')
            || word == "-";
        if !is_head {
            break;
        }
        rest = after;
    }
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    if let Some(message) =
        after.trim_start().strip_prefix("- ").or_else(|| after.trim_start().strip_prefix(": "))
        && is_logger(word)
    {
        return (Some(word), message);
    }
    if let Some(logger) = word.strip_suffix(':')
        && is_logger(logger)
    {
        return (Some(logger), after);
    }
    (None, rest)
}

const LEVELS: [&str; 11] =
    ["trace", "debug", "info", "notice", "warn", "warning", "error", "err", "critical", "fatal", "severe"];

/// `shop.checkout.CheckoutService`, `orders::api`
fn is_logger(word: &str) -> bool {
    let inner = word.contains('.') || word.contains("::");
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '$' | '-');
    inner
        && word.len() <= MAX_SHAPE_BYTES
        && word.chars().all(name)
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A message without what differs from line to line: words that hold digits become `{}`, `name=value` ends it.
pub(crate) fn shape(message: &str) -> String {
    let mut shape = String::new();
    let line = message.lines().next().unwrap_or_default();
    for word in cut(line, 4 * MAX_SHAPE_BYTES).split_whitespace() {
        if word.contains('=') {
            break;
        }
        let word = if word.bytes().any(|b| b.is_ascii_digit()) { "{}" } else { word };
        if shape.len() + word.len() >= MAX_SHAPE_BYTES {
            break;
        }
        if !shape.is_empty() {
            shape.push(' ');
        }
        shape.push_str(word);
    }
    shape
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_say_that_requests_begin_and_end() {
        for message in [
            "incoming request",
            "request received",
            "request_started",
            "POST /items received",
            "Started GET \"/cart\" for 10.0.0.1",
            "Request starting HTTP/1.1 GET http://cart/items",
            "handling rpc /shop.Cart/Get",
            "job 17 started",
        ] {
            assert_eq!(says(message), Says { begins: true, ..Says::default() }, "{message}");
        }
        for message in
            ["request completed", "request_finished", "request handled", "GET /cart served", "task done"]
        {
            assert_eq!(says(message), Says { ends: true, ..Says::default() }, "{message}");
        }
        for message in
            ["", "placing order for customer 7", "server started", "cart read", "order placed in 3 ms"]
        {
            assert_eq!(says(message), Says::default(), "{message}");
        }
        assert!(says("outgoing request started").outgoing);
        assert!(!says("outgoing request started").begins);
    }

    #[test]
    fn requests_are_read_in_messages() {
        assert_eq!(request_of("POST /items received"), Some(("POST", "/items")));
        assert_eq!(request_of("Started GET \"/cart?x=1\" for 10.0.0.1"), Some(("GET", "/cart?x=1")));
        assert_eq!(request_of("\"DELETE /x\""), Some(("DELETE", "/x")));
        for message in ["GET", "GET cart", "get /cart", "budget /cart", ""] {
            assert_eq!(request_of(message), None, "{message}");
        }
    }

    #[test]
    fn plain_lines_have_a_logger_and_a_message() {
        for (line, logger, message) in [
            (
                "2026-11-21 10:00:00.123 INFO  [http-nio-8080-exec-3] shop.checkout.CheckoutService - placing order",
                Some("shop.checkout.CheckoutService"),
                "placing order",
            ),
            ("2026-11-21T10:00:00.123Z INFO orders::api: order stored", Some("orders::api"), "order stored"),
            ("[2026-11-21 10:00:00] ERROR: it broke", None, "it broke"),
            (
                "2026-11-21T10:00:00Z  INFO 1 --- [main] o.s.web.Servlet : ready",
                None,
                "--- [main] o.s.web.Servlet : ready",
            ),
            ("just words", None, "just words"),
            ("", None, ""),
        ] {
            assert_eq!(plain(line), (logger, message), "{line}");
        }
    }

    #[test]
    fn shapes_hold_no_numbers() {
        assert_eq!(shape("placing order for customer 4711"), "placing order for customer {}");
        assert_eq!(shape("order stored order_id=17 items=2"), "order stored");
        assert_eq!(shape("a\nb"), "a");
        assert!(shape(&"word ".repeat(100)).len() <= MAX_SHAPE_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,300}") {
            let (logger, message) = plain(&text);
            prop_assert!(logger.is_none_or(|l| text.contains(l)) && text.ends_with(message));
            prop_assert!(shape(&text).len() <= MAX_SHAPE_BYTES);
            let _ = (says(&text), request_of(&text));
        }
    }
}
