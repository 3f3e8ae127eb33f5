//! Lines of requests: a thousand at once, each with a correlation id, as four services that call each other log them.

use std::collections::VecDeque;

/// Lines a second of all services, with which what traces cost is measured.
pub(crate) const LINES_PER_SECOND: u64 = 5_000;
/// Who logs.
pub(crate) const SERVICES: [&str; 4] = ["gateway", "cart", "orders", "payment"];
const OPEN_IDS: usize = 1_000;
/// Lines of a request: who logs what. Services call each other; each logs its beginning and its answer.
const REQUEST: [(&str, Step); 10] = [
    ("gateway", Step::Begins),
    ("cart", Step::Begins),
    ("cart", Step::Works),
    ("orders", Step::Begins),
    ("payment", Step::Begins),
    ("payment", Step::Works),
    ("payment", Step::Answers(399)),
    ("orders", Step::Answers(799)),
    ("cart", Step::Answers(1399)),
    ("gateway", Step::Answers(1799)),
];

/// What a line says.
#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Works,
    Begins,
    /// After so many milliseconds: the lines of a request are 200 ms apart.
    Answers(u32),
}

/// Requests that are under way, each at its next line, in turn.
#[derive(Debug)]
pub(crate) struct Requests {
    open: VecDeque<(u64, usize)>,
    next: u64,
}

impl Requests {
    /// A thousand, begun one after the other.
    pub(crate) fn new() -> Self {
        // Begun one after the other, so that they do not end all at once.
        let open = (0..OPEN_IDS as u64).map(|id| (id, id as usize % REQUEST.len())).collect();
        Self { open, next: OPEN_IDS as u64 }
    }

    /// The next line, and who logs it.
    pub(crate) fn line(&mut self) -> (&'static str, String) {
        let (id, step) = self.open.pop_front().unwrap_or_default();
        let (service, says) = REQUEST.get(step).copied().unwrap_or_default();
        if step + 1 < REQUEST.len() {
            self.open.push_back((id, step + 1));
        } else {
            self.open.push_back((self.next, 0));
            self.next += 1;
        }
        let correlation = u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let told = match says {
            Step::Begins => format!(r#""msg":"request received","method":"GET","path":"/orders/{id}""#),
            Step::Works => format!(r#""msg":"step {step} of order {id} in {service} is done""#),
            Step::Answers(ms) => format!(
                r#""msg":"request completed","method":"GET","path":"/orders/{id}","status":200,"duration_ms":{ms}.25"#
            ),
        };
        let line = format!(
            r#"{{"level":"info",{told},"correlation_id":"{correlation:032x}","logger":"shop.{service}"}}"#
        );
        (service, line)
    }
}
