#!/usr/bin/env python3
"""Checks the whole lab as its users see it: metrics, rules, one order through the shop, and that order in Binnacle.

Runs beside the lab: tests/lab/run.sh tests/lab/check.py
"""

import json
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "compose/chaos"))

import lab  # noqa: E402
from lab import check, wait  # noqa: E402

# Far above the customers that the load generator plays.
CUSTOMER = 990_001
# Who takes part in an order.
SERVICES = {"gateway", "checkout", "cart", "catalog", "payment", "orders"}


def every_service_is_healthy():
    ids = lab.docker("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={lab.PROJECT}").split()

    def unhealthy():
        states = [json.loads(line) for line in lab.docker("inspect", "--format", "{{json .}}", *ids).splitlines()]
        # Upstream's image of Jaeger has nothing to check its health with.
        health = {state["Name"]: state["State"].get("Health", {"Status": state["State"]["Status"]}) for state in states}
        bad = [name for name, health in health.items() if health["Status"] not in ("healthy", "running")]
        check(not bad, f"not healthy: {bad}")
        return True

    wait("every container healthy", 120, unhealthy)
    return f"{len(ids)} containers"


def every_target_is_up():
    def targets():
        found = lab.get_json(f"{lab.PROMETHEUS}/api/v1/targets")["data"]["activeTargets"]
        down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in found if target["health"] != "up"]
        check(found and not down, f"down: {down}")
        return found

    found = wait("every target up", 120, targets)
    jobs = sorted({target["labels"]["job"] for target in found})
    expected = ["alertmanager", "binnacle-serve", "cadvisor", "node", "prometheus", "shop"]
    check(jobs == expected, f"jobs are {jobs}")
    return f"{len(found)} targets of {len(jobs)} jobs"


def every_rule_loads():
    """As many as the files hold, and none fails when it is evaluated."""
    files = sorted((ROOT / "dashboards/prometheus/rules").glob("*.yml"))
    written = sum(line.lstrip().startswith(("- alert:", "- record:")) for file in files for line in file.open())

    def evaluated():
        groups = lab.get_json(f"{lab.PROMETHEUS}/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        bad = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]
        check(len(rules) == written, f"{len(rules)} rules are loaded, the files hold {written}")
        check(not bad, f"not evaluated: {bad}")
        return rules

    return f"{len(wait('every rule evaluated', 120, evaluated))} rules"


def the_watchdog_reaches_the_pager():
    # Alerts that fire before Prometheus has found Alertmanager are sent again after a minute.
    wait("the Watchdog in Alertmanager", 180, lambda: lab.alerts("Watchdog"))
    told = wait("the Watchdog told to the pager", 120, lambda: lab.search("service:pager alert:Watchdog"))
    return json.loads(told[0]["line"])["summary"]


def an_order_goes_through():
    """Redis holds the cart until it is paid, PostgreSQL holds the order."""
    for _ in range(20):  # the bank declines some cards
        lab.fill_cart(CUSTOMER, 1003, 2)
        cart = lab.docker("exec", lab.container("redis"), "redis-cli", "hgetall", f"cart:{CUSTOMER}").split()
        check(cart == ["1003", "2"], f"Redis holds {cart}")
        order = lab.check_out(CUSTOMER)
        if order.status == 200:
            break
        check(order.status == 402, f"the checkout answered {order.status}: {order.answer}")
    check(order.status == 200, "twenty cards were declined")
    left = lab.docker("exec", lab.container("redis"), "redis-cli", "exists", f"cart:{CUSTOMER}").strip()
    check(left == "0", "the cart is still in Redis")
    query = f"SELECT customer, cents FROM orders WHERE id = '{order.answer['id']}'"
    psql = 'PGPASSWORD=$(cat /run/secrets/postgres_password) psql -h 127.0.0.1 -U shop -d shop -At -c "$0"'
    row = lab.docker("exec", lab.container("postgres"), "sh", "-c", psql, query).strip()
    check(row == f"{CUSTOMER}|{order.answer['cents']}", f"PostgreSQL holds `{row}` for {order.answer}")
    global ORDER
    ORDER = order
    return f"order {order.answer['id']}, correlation id {order.correlation_id}"


def its_correlation_id_finds_every_service():
    def found():
        records = lab.search(ORDER.correlation_id)
        services = {record["labels"]["service_name"] for record in records}
        check(SERVICES <= services, f"lines of {sorted(services)} alone")
        return records

    records = wait("lines of every service", 60, found)
    strange = [record["line"] for record in records if ORDER.correlation_id not in record["line"]]
    check(not strange, f"lines without the id: {strange[:3]}")
    traces = {record["metadata"].get("trace_id") for record in records}
    check(len(traces) == 1, f"lines of one request have the traces {traces}")
    global TRACE
    TRACE = traces.pop()
    return f"{len(records)} lines of {len(SERVICES)} services, all of trace {TRACE}"


def it_has_one_trace():
    text = wait("the trace", 60, lambda: lab.binnacle("trace", ORDER.correlation_id))
    check(TRACE in text.splitlines()[0], text.splitlines()[0])

    # The trace is complete a while after its last line.
    def whole():
        trace = lab.binnacle_api(f"/jaeger/api/traces/{TRACE}")["data"][0]
        services = {process["serviceName"] for process in trace["processes"].values()}
        check(SERVICES <= services, f"Jaeger's API has spans of {sorted(services)}")
        return trace

    trace = wait("the trace in Jaeger's API", 60, whole)
    return f"{text.splitlines()[0]}; {len(trace['spans'])} spans in Jaeger's API"


def grafana_would_find_it():
    """The two questions of Grafana's data sources, with the token as they show it."""
    now = time.time_ns()
    answer = lab.binnacle_api(
        "/loki/api/v1/query_range",
        query=f'{{service_name=~".+"}} |= "{ORDER.correlation_id}"', start=now - 600 * 10**9, end=now, limit=1000)
    streams = {stream["stream"]["service_name"] for stream in answer["data"]["result"]}
    check(SERVICES <= streams, f"Loki's API has streams of {sorted(streams)}")

    def known():
        services = lab.binnacle_api("/jaeger/api/services")["data"]
        check(SERVICES <= set(services), f"Jaeger's API knows {services}")
        return services

    services = wait("every service in Jaeger's API", 60, known)
    return f"{len(streams)} streams in Loki's API, {len(services)} services in Jaeger's"


def nobody_asks_without_the_token():
    for headers in [{}, {"authorization": "Bearer 0123456789abcdef0123456789abcdef"}]:
        status, _, text = lab.ask(f"{lab.BINNACLE}/api/v1/labels", headers=headers)
        check(status == 401, f"answered {status}: {text}")
    return "401 without one and with another"


def traces_reach_their_receiver():
    """In Jaeger's place stands rotel, which says how many spans it takes."""

    def sent_so_far():
        series = lab.series("binnacle_export_sent_spans_total > 0 and binnacle_export_lag_seconds < 30")
        return series and int(series[0]["value"][1])

    sent = wait("spans sent", 120, sent_so_far)
    # It colours what it says; the number of spans comes last.
    requests = [line for line in lab.logged("jaeger").elements() if "Received traces" in line]
    taken = sum(int(re.findall(r"\d+", line)[-1]) for line in requests)
    check(taken >= sent, f"{sent} spans were sent, the receiver has {taken}")
    return f"{taken} spans in {len(requests)} requests"


def no_alert_fires():
    lab.quiet()
    return f"but {', '.join(sorted(lab.NO_FAULT))}, which may"


def no_line_is_lost():
    services = sorted(SERVICES | {"load", "pager", "redis", "postgres", "prometheus"})
    for service in services:
        lab.nothing_is_missing(service)
    gaps = lab.series("sum(docker_logs_gaps_total) > 0")
    check(not gaps, f"gaps were recorded: {gaps}")
    return f"of {len(services)} services; no gap recorded"


CHECKS = [
    every_service_is_healthy,
    every_target_is_up,
    every_rule_loads,
    an_order_goes_through,
    its_correlation_id_finds_every_service,
    it_has_one_trace,
    grafana_would_find_it,
    nobody_asks_without_the_token,
    traces_reach_their_receiver,
    the_watchdog_reaches_the_pager,
    no_alert_fires,
    no_line_is_lost,
]


def main():
    begun = time.monotonic()
    for step in CHECKS:
        name = step.__name__.replace("_", " ")
        try:
            told = step()
        except lab.Failed as error:
            sys.exit(f"FAILED {name}: {error}")
        print(f"ok     {name}: {told} ({time.monotonic() - begun:.0f} s)", flush=True)


main()
