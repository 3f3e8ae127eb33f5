//! The demo shop's objectives over 30 days, as `dashboards/prometheus/rules/slo.yml` has them: what is left of the budgets,
//! how fast they burn, and what the shop depends on.

use super::{UP, with_alerts, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, Column, GOOD, Unit, WARNING};
use crate::link;
use crate::panel::Panel;
use crate::query::{Query, metric, metric_now, metric_rows};

/// Part of the requests that may fail.
const MAY_FAIL: f64 = 0.005;
/// Part of the requests that may take longer than 500 ms.
const MAY_BE_SLOW: f64 = 0.01;
/// Windows that alerts watch, each with the number of times too fast from which they fire.
const WINDOWS: [(&str, f64); 4] = [("1h", 14.4), ("6h", 6.0), ("1d", 3.0), ("3d", 1.0)];
const BUDGET_LEFT: [(f64, &str); 2] = [(0.0, WARNING), (0.25, GOOD)];

pub(super) fn board() -> Dashboard {
    let board = Dashboard::new(
        "shop-slo",
        "Shop: objectives and error budget",
        "Over 30 days 99.5 % of the gateway's requests succeed and 99 % are answered within 500 ms. What is left of that, and how fast it goes.",
    );
    with_alerts(with_events(board, ""))
        .row("Availability: 99.5 % succeed", objective(&AVAILABILITY))
        .row("Latency: 99 % within 500 ms", objective(&LATENCY))
        .row("The shop", shop())
        .row("What it depends on", dependencies())
}

/// What the gateway promises.
struct Objective {
    allowed: f64,
    /// Name of the recorded ratio, to be followed by the window.
    recorded: &'static str,
    /// The part of the requests that broke the promise within a window.
    broken: fn(&str) -> String,
    titles: [&'static str; 4],
    about: [&'static str; 4],
}

const AVAILABILITY: Objective = Objective {
    allowed: MAY_FAIL,
    recorded: "service:http_requests:error_ratio_rate",
    broken: |window| {
        format!(
            r#"(sum(increase(http_requests_total{{job="shop", service="gateway", code=~"5.."}}[{window}])) or vector(0)) / sum(increase(http_requests_total{{job="shop", service="gateway"}}[{window}]))"#
        )
    },
    titles: ["Requests that succeeded", "Budget left", "Budget burns", "Burn rate by window"],
    about: [
        "Part of the gateway's requests within 30 days that were not answered with a 5xx status.",
        "Part of the failures allowed within 30 days that is left. Below 0 the objective is missed.",
        "How many times faster than allowed requests fail, by the windows that alerts watch.",
        "Both alerts of a pair fire when a long window and its short one are above the bound.",
    ],
};

const LATENCY: Objective = Objective {
    allowed: MAY_BE_SLOW,
    recorded: "service:http_requests:slow_ratio_rate",
    broken: |window| {
        format!(
            r#"1 - sum(increase(http_request_duration_seconds_bucket{{job="shop", service="gateway", le="0.5"}}[{window}])) / sum(increase(http_request_duration_seconds_count{{job="shop", service="gateway"}}[{window}]))"#
        )
    },
    titles: ["Requests that were fast", "Budget left", "Budget burns", "Burn rate by window"],
    about: [
        "Part of the gateway's requests within 30 days that were answered within 500 ms.",
        "Part of the slow requests allowed within 30 days that is left. Below 0 the objective is missed.",
        "How many times faster than allowed requests are slow, by the windows that alerts watch.",
        "Both alerts of a pair fire when a long window and its short one are above the bound.",
    ],
};

impl Objective {
    fn burn(&self, window: &str) -> Query {
        metric(format!(r#"{}{window}{{service="gateway"}} / {}"#, self.recorded, self.allowed)).named(window)
    }
}

fn objective(of: &Objective) -> [Panel; 4] {
    let broken = (of.broken)("30d");
    let burning = WINDOWS.iter().fold(
        Panel::timeseries(of.titles[2], of.about[2], Unit::Times).sized(10, 8),
        |panel, (window, _)| panel.ask(of.burn(window)),
    );
    let by_window = WINDOWS.iter().fold(
        Panel::bar_gauge(of.titles[3], of.about[3], Unit::Times).sized(6, 8).decimals(1).max(15.0),
        |panel, (window, _)| panel.ask(of.burn(window)),
    );
    let bounds = WINDOWS.map(|(window, bound)| {
        field::for_series(
            window,
            &[("thresholds", field::thresholds(GOOD, &[(bound / 2.0, WARNING), (bound, BAD)]))],
        )
    });
    [
        Panel::stat(of.titles[0], of.about[0], Unit::Ratio)
            .sized(4, 8)
            .decimals(2)
            .ask(metric_now(format!("1 - ({broken})")))
            .without_history()
            .thresholds(BAD, &[(1.0 - of.allowed, GOOD)]),
        Panel::gauge(of.titles[1], of.about[1])
            .sized(4, 8)
            .ask(metric_now(format!("1 - ({broken}) / {}", of.allowed)))
            .thresholds(BAD, &BUDGET_LEFT),
        burning.limits(GOOD, &[(1.0, WARNING), (14.4, BAD)]),
        by_window.overrides(bounds),
    ]
}

fn shop() -> [Panel; 4] {
    let of_service =
        link::to("service-red", "Requests of the service", "service", &link::of_series("service"));
    [
        Panel::timeseries("Requests", "Requests answered a second, by service.", Unit::RequestsPerSecond)
            .sized(6, 8)
            .ask(
                metric(r#"sum by (service) (rate(http_requests_total{job="shop"}[$__rate_interval]))"#)
                    .named("{{service}}"),
            )
            .link(of_service.clone()),
        Panel::timeseries(
            "Failed",
            "Part of the requests answered with a 5xx status, by service.",
            Unit::Ratio,
        )
        .sized(6, 8)
        .ask(metric("service:http_requests:error_ratio_rate5m").named("{{service}}"))
        .link(of_service),
        Panel::timeseries("Customers", "What customers did, and what they failed to do.", Unit::PerSecond)
            .sized(6, 8)
            .ask(
                metric("sum by (step, outcome) (rate(shop_customer_steps_total[$__rate_interval]))")
                    .named("{{step}} {{outcome}}"),
            ),
        Panel::timeseries("Payments", "Charges a second, by what the bank said.", Unit::PerSecond)
            .sized(6, 8)
            .ask(
                metric("sum by (outcome) (rate(shop_payments_total[$__rate_interval]))").named("{{outcome}}"),
            )
            .link(link::to("service-red", "Requests of payment", "service", "payment")),
    ]
}

fn dependencies() -> [Panel; 4] {
    let columns = [
        Column::label("fault", "Fault"),
        Column::label("service", "Service"),
        Column::only_value("Setting", Unit::Count).thresholds(GOOD, &[(0.001, BAD)]),
    ];
    [
        Panel::states("Databases", "Whether the databases answer.", &UP).sized(6, 6).ask(
            metric("max by (service, dependency) (shop_dependency_up)").named("{{service}} > {{dependency}}"),
        ),
        Panel::states(
            "Circuit breakers",
            "Open: after five failures in a row the service stops calling until a call gets through.",
            &[("0", "closed", GOOD), ("1", "open", BAD)],
        )
        .sized(8, 6)
        .ask(metric("max by (service, upstream) (shop_circuit_open)").named("{{service}} > {{upstream}}")),
        Panel::timeseries("Tried again", "Calls that services made again after a failure.", Unit::PerSecond)
            .sized(4, 6)
            .ask(
                metric("sum by (service, upstream) (rate(shop_retries_total[$__rate_interval]))")
                    .named("{{service}} > {{upstream}}"),
            ),
        Panel::table("Faults", "What is broken on purpose.", &columns)
            .sized(6, 6)
            .sorted_by("Setting")
            .ask(metric_rows("max by (service, fault) (shop_fault)")),
    ]
}
