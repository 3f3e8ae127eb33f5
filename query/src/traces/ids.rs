//! What an id that somebody asks for may mean, and how lines may have written it.

use correlation::{Trace, TraceId, hashed};

use super::{CORRELATION_ID, text_of};

/// The meanings of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    /// As asked for, without blanks around.
    pub(super) given: String,
    /// Ids of the traces it may name: itself, where it is one, and that of a correlation id.
    pub(super) traces: Vec<TraceId>,
    /// Whether it can be a trace id.
    pub(super) is_trace_id: bool,
}

impl Ids {
    pub(super) fn of(id: &str) -> Self {
        let given = id.trim().to_owned();
        let own = TraceId::parse(&given);
        let mut traces: Vec<TraceId> = own.into_iter().collect();
        traces.push(hashed(&given));
        Self { given, traces, is_trace_id: own.is_some() }
    }

    /// Whether a trace is one of those asked for.
    pub(super) fn is_asked_for(&self, trace: &Trace) -> bool {
        self.traces.contains(&trace.id)
            || trace
                .spans
                .iter()
                .any(|span| text_of(&span.attributes, CORRELATION_ID) == Some(self.given.as_str()))
    }
}

/// The ways in which lines write a trace id: whole, and without the zeros that B3 and Jaeger leave out. Searches do
/// not tell capitals.
pub(super) fn notations(id: TraceId) -> Vec<String> {
    let whole = id.to_string();
    let short = whole.trim_start_matches('0').to_owned();
    let mut all = vec![whole.clone()];
    if let Some(half) = whole.strip_prefix("0000000000000000") {
        all.push(half.to_owned());
    }
    all.push(short);
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_of_a_trace_or_of_a_correlation() {
        let ids = Ids::of(" a3ce929d0e0e4736 ");
        assert_eq!(ids.traces[0].to_string(), "0000000000000000a3ce929d0e0e4736");
        assert_eq!(ids.traces[1], hashed("a3ce929d0e0e4736"));
        assert_eq!(Ids::of("r-1").traces, [hashed("r-1")]);
    }

    #[test]
    fn zeros_may_be_left_out() {
        let id = TraceId::parse("00a3ce929d0e0e47").unwrap();
        let expected = ["000000000000000000a3ce929d0e0e47", "00a3ce929d0e0e47", "a3ce929d0e0e47"];
        assert_eq!(notations(id), expected);
        assert_eq!(notations(TraceId::parse(&"12".repeat(16)).unwrap()), ["12".repeat(16)]);
    }
}
