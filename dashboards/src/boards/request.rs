//! One request: its waterfall, and every line that any service wrote about it.

use crate::dashboard::Dashboard;
use crate::field::{self, Unit};
use crate::panel::Panel;
use crate::query::{lines, log_metric, trace};
use crate::variable;

/// Lines that name the id, whether as trace id, correlation id or only in their text.
const LINES: &str = r#"{service_name=~".+", stream!="events"} |= `$id`"#;

pub(super) fn board() -> Dashboard {
    Dashboard::new(
        "request",
        "One request",
        "A request by its trace or correlation id: who called whom, how long it took, and what was logged.",
    )
    .variable(variable::text("id", "Trace or correlation id"))
    .row(
        "Waterfall",
        [Panel::waterfall("Waterfall", "Spans, read from the log lines: callers before what they called.")
            .ask(trace("$id"))],
    )
    .row(
        "Lines",
        [
            Panel::bars("Lines by service", "Lines that name the id.", Unit::Count)
                .sized(24, 5)
                .ask(
                    log_metric(format!("sum by (service_name) (count_over_time({LINES} [$__auto]))"))
                        .named("{{service_name}}"),
                )
                .overrides([field::colored("unknown", "#8e8e8e")]),
            Panel::logs("Lines", "Lines that name the id, of all services.").sized(24, 14).ask(lines(LINES)),
        ],
    )
}
