#!/usr/bin/env python3
"""Asks every question of every dashboard of the lab's Prometheus and of its Binnacle, as Grafana's data sources do, and
fails where nothing is found: expressions.py MINUTES

Runs beside the lab, after the chaos: the last MINUTES are asked for. Questions that tests/scenes/may-be-empty.json names
by their panel may find nothing.
"""

import collections
import json
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "compose/chaos"))

import lab  # noqa: E402
from lab import check, wait  # noqa: E402

# Samples of a range query; the least interval of a rate is four scrapes, which come each second here.
STEPS = 60
RATE_INTERVAL = "30s"
TEXT, MINUTES = "queryType", int(sys.argv[1])


def questions():
    """(name, panel, target) of each query of each panel and of each mark, variables left in."""
    for path in sorted((ROOT / "dashboards/grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        panels = [(panel["title"], target) for panel in board["panels"] for target in panel.get("targets", [])]
        marks = [(mark["name"], mark["target"]) for mark in board["annotations"]["list"]]
        for title, target in panels + marks:
            panel = f"{board['uid']} / {title}"
            yield f"{panel} / {target['refId']}", panel, board["uid"], target


def some_trace():
    start = (time.time_ns() - 60 * MINUTES * 10**9) // 1000
    traces = lab.binnacle_api("/jaeger/api/traces", service="gateway", minDuration="50ms", limit=20, start=start)["data"]
    return max(traces, key=lambda trace: len(trace["spans"]))["traceID"]


def filled(target, uid, trace):
    """The target with what a reader would choose."""
    values = {
        "$__rate_interval": RATE_INTERVAL,
        "$__auto": "60s",
        "$__range": f"{MINUTES}m",
        "$instance": ".*",
        "$container": lab.container("gateway"),
        "$project": lab.PROJECT,
        "$service": ".+" if uid == "logs-overview" else "gateway",
        "$search": "",
        "$slow": "100ms",
        "$id": trace,
    }
    text = json.dumps(target)
    for name, value in values.items():
        text = text.replace(name, value)
    return json.loads(text)


def found(target):
    """How many series with a value, rows, lines or traces come."""
    source, kind = target["datasource"]["type"], target.get(TEXT, "")
    now = time.time()
    start = now - 60 * MINUTES
    if source == "prometheus":
        answer = lab.get_json(
            f"{lab.PROMETHEUS}/api/v1/query_range",
            query=target["expr"], start=start, end=now, step=60 * MINUTES / STEPS)
        series = answer["data"]["result"]
        return sum(any(value != "NaN" for _, value in one["values"]) for one in series)
    if source == "loki":
        query = {"query": target["expr"], "end": int(now * 1e9)}
        if kind == "instant":
            path = "/loki/api/v1/query"
            query["time"] = query.pop("end")
        else:
            path = "/loki/api/v1/query_range"
            query |= {"start": int(start * 1e9), "step": "60s", "limit": 100}
        return len(lab.binnacle_api(path, **query)["data"]["result"])
    if kind == "search":
        query = {"service": target["service"], "limit": target["limit"], "start": int(start * 1e6), "end": int(now * 1e6)}
        if target.get("minDuration"):
            query["minDuration"] = target["minDuration"]
        if target.get("tags"):
            name, value = target["tags"].split("=", 1)
            query["tags"] = json.dumps({name: value})
        return len(lab.binnacle_api("/jaeger/api/traces", **query)["data"])
    if kind == "dependencyGraph":
        path = "/jaeger/api/dependencies"
        return len(lab.binnacle_api(path, endTs=int(now * 1e3), lookback=60_000 * MINUTES)["data"])
    check(source == "jaeger" and target.get("query"), f"nobody answers `{kind}` of `{source}`")
    return len(lab.binnacle_api(f"/jaeger/api/traces/{target['query']}")["data"])


def main():
    may_be_empty = json.loads((ROOT / "tests/scenes/may-be-empty.json").read_text())
    trace = wait("a trace", 60, some_trace)
    open_questions = [(name, panel, filled(target, uid, trace)) for name, panel, uid, target in questions()]
    asked = collections.Counter(target["datasource"]["type"] for _, _, target in open_questions)

    def answered():
        nonlocal open_questions
        open_questions = [question for question in open_questions if found(question[2]) == 0]
        missing = [name for name, panel, _ in open_questions if panel not in may_be_empty]
        check(not missing, f"nothing is found for {missing}")
        return True

    try:
        wait("an answer to every question", 60, answered)
    except lab.Failed as error:
        sys.exit(f"FAILED every dashboard's expressions: {error}")
    empty = [name for name, _, _ in open_questions]
    print(f"ok     every dashboard's expressions find something: {dict(asked)}; may find nothing, and do: {empty}", flush=True)


main()
