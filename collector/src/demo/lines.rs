//! What the services write: each in the manner of another language's usual logger.
//!
//! gateway: JSON of pino, with `traceparent`. catalog: logfmt. cart: JSON of zap, correlation id only. checkout:
//! Logback's plain lines, correlation id only, Java stack traces. payment: JSON of structlog, Python tracebacks.
//! orders: plain lines with `name=value`.

use jiff::Timestamp;
use serde_json::json;

use super::random::Random;
use super::shop::{Call, Outcome, Request, Service};

/// Lines of one call: time, whether to stderr, text. Lines of a stack trace share a time.
pub(super) type Written = Vec<(i64, bool, String)>;

/// What the service of a call writes about it.
pub(super) fn of_call(request: &Request, call: &Call, random: &mut Random) -> Written {
    match call.service {
        Service::Gateway => gateway(request, call),
        Service::Catalog => catalog(request, call),
        Service::Cart => cart(request, call),
        Service::Checkout => checkout(request, call, random),
        Service::Payment => payment(request, call, random),
        Service::Orders => orders(request, call, random),
    }
}

fn millis(call: &Call) -> f64 {
    ((call.end_ns - call.start_ns) as f64 / 1e4).round() / 100.0
}

/// RFC 3339 with milliseconds.
fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map(|time| format!("{time:.3}")).unwrap_or_default()
}

fn parent_span<'a>(request: &'a Request, call: &Call) -> &'a str {
    call.parent.map_or("", |parent| &request.calls[parent].span_id)
}

fn gateway(request: &Request, call: &Call) -> Written {
    let (method, url) = call.operation.split_once(' ').unwrap_or(("GET", "/"));
    let (level, status, text) = match call.outcome {
        Outcome::Done => (30, 200, "request completed"),
        Outcome::Declined => (40, 402, "request completed"),
        Outcome::Failed => (50, 502, "upstream failed"),
    };
    let line = json!({
        "level": level,
        "time": call.end_ns / 1_000_000,
        "pid": 1,
        "req": { "id": request.correlation_id, "method": method, "url": url },
        "res": { "statusCode": status },
        "responseTime": millis(call),
        "traceparent": format!("00-{}-{}-01", request.trace_id, call.span_id),
        "msg": text,
    });
    vec![(call.end_ns, false, line.to_string())]
}

fn catalog(request: &Request, call: &Call) -> Written {
    let (level, text) = match call.outcome {
        Outcome::Failed => ("ERROR", "cannot read product: connection reset by database"),
        _ if millis(call) > 12.0 => ("WARN", "slow query"),
        _ => ("INFO", "product read"),
    };
    let line = format!(
        "time={} level={level} msg=\"{text}\" sku={} duration={}ms trace_id={} span_id={} parent_span_id={}",
        rfc3339(call.end_ns),
        request.sku,
        millis(call),
        request.trace_id,
        call.span_id,
        parent_span(request, call),
    );
    vec![(call.end_ns, false, line)]
}

fn cart(request: &Request, call: &Call) -> Written {
    let (level, text) = match call.outcome {
        Outcome::Failed => ("error", "cannot add item: catalog answered 500"),
        _ if call.operation.starts_with("GET") => ("info", "cart read"),
        _ => ("info", "item added"),
    };
    let line = |ns: i64, level: &str, text: &str| {
        json!({
            "level": level,
            "ts": ns as f64 / 1e9,
            "caller": "cart/handler.go:87",
            "msg": text,
            "correlation_id": request.correlation_id,
            "customer": request.customer,
            "duration_ms": millis(call),
        })
        .to_string()
    };
    let received = line(call.start_ns, "debug", &format!("{} received", call.operation));
    vec![(call.start_ns, false, received), (call.end_ns, level == "error", line(call.end_ns, level, text))]
}

fn checkout(request: &Request, call: &Call, random: &mut Random) -> Written {
    let thread = 1 + random.below(8);
    let line = |ns: i64, level: &str, text: &str| {
        let time = rfc3339(ns).replace('T', " ").replace('Z', "");
        format!(
            "{time} {level:<5} [http-nio-8080-exec-{thread}] shop.checkout.CheckoutService - {text} correlationId={}",
            request.correlation_id
        )
    };
    let begun = format!("placing order for customer {}", request.customer);
    let mut written = vec![(call.start_ns, false, line(call.start_ns, "INFO", &begun))];
    let end = call.end_ns;
    match call.outcome {
        Outcome::Done => {
            written.push((end, false, line(end, "INFO", &format!("order placed in {} ms", millis(call)))))
        }
        Outcome::Declined => {
            written.push((end, false, line(end, "WARN", "payment declined, order not placed")))
        }
        Outcome::Failed => {
            written.push((end, false, line(end, "ERROR", "cannot place order")));
            written.extend(JAVA_TRACE.lines().map(|text| (end, false, text.to_owned())));
        }
    }
    written
}

const JAVA_TRACE: &str = "\
shop.checkout.PaymentUnavailableException: payment did not answer within 3000 ms
\tat shop.checkout.PaymentClient.charge(PaymentClient.java:61)
\tat shop.checkout.CheckoutService.place(CheckoutService.java:118)
\tat shop.checkout.CheckoutController.post(CheckoutController.java:37)
\tat java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
\tat shop.checkout.PaymentClient.charge(PaymentClient.java:54)
\t... 3 more";

fn payment(request: &Request, call: &Call, random: &mut Random) -> Written {
    let amount = 5 + random.below(400);
    let line = |ns: i64, level: &str, event: &str| {
        json!({
            "event": event,
            "level": level,
            "timestamp": rfc3339(ns),
            "trace_id": request.trace_id,
            "span_id": call.span_id,
            "parent_span_id": parent_span(request, call),
            "request_id": request.correlation_id,
            "amount": amount,
        })
        .to_string()
    };
    let end = call.end_ns;
    let mut written = vec![(call.start_ns, false, line(call.start_ns, "info", "charging card"))];
    match call.outcome {
        Outcome::Done if millis(call) > 1000.0 => {
            written.push((end, false, line(end, "warning", "card charged, bank was slow")));
        }
        Outcome::Done => written.push((end, false, line(end, "info", "card charged"))),
        Outcome::Declined => written.push((end, false, line(end, "warning", "card declined by bank"))),
        Outcome::Failed => {
            written.push((end, false, line(end, "error", "charge failed: bank did not answer")));
            written.extend(PYTHON_TRACE.lines().map(|text| (end, true, text.to_owned())));
        }
    }
    written
}

const PYTHON_TRACE: &str = "\
Traceback (most recent call last):
  File \"/app/payment/charges.py\", line 42, in charge
    answer = bank.post(\"/charges\", json=body, timeout=3)
  File \"/app/payment/bank.py\", line 19, in post
    raise BankTimeout(url)
payment.bank.BankTimeout: no answer from https://bank.test/charges";

fn orders(request: &Request, call: &Call, random: &mut Random) -> Written {
    let line = format!(
        "{} INFO orders::api: order stored order_id={} items={} elapsed_ms={} trace_id={} span_id={} parent_span_id={}",
        rfc3339(call.end_ns),
        100_000 + random.below(900_000),
        1 + random.below(5),
        millis(call),
        request.trace_id,
        call.span_id,
        parent_span(request, call),
    );
    vec![(call.end_ns, false, line)]
}

/// What services write without being asked.
pub(super) fn noise(random: &mut Random, ns: i64) -> (Service, String) {
    let time = rfc3339(ns);
    let service = *random.pick(&Service::ALL);
    let line = match service {
        Service::Gateway => json!({
            "level": 20, "time": ns / 1_000_000, "pid": 1, "msg": "health check", "upstreams": 5,
        })
        .to_string(),
        Service::Catalog => {
            format!("time={time} level=DEBUG msg=\"cache swept\" evicted={} kept={}", random.below(40), 300 + random.below(90))
        }
        Service::Cart => {
            json!({ "level": "info", "ts": ns as f64 / 1e9, "msg": "expired carts removed", "removed": random.below(9) })
                .to_string()
        }
        Service::Checkout => format!(
            "{} DEBUG [scheduling-1] shop.checkout.Heartbeat - alive, heap {} MiB",
            time.replace('T', " ").replace('Z', ""),
            180 + random.below(120)
        ),
        Service::Payment => {
            json!({ "event": "bank connection kept alive", "level": "debug", "timestamp": time }).to_string()
        }
        Service::Orders => format!("{time} INFO orders::outbox: flushed events={} lag_ms={}", random.below(12), random.below(40)),
    };
    (service, line)
}
