#!/usr/bin/env python3
"""Copies the lab's Prometheus and Alertmanager files with all times divided by a factor, so that a test needs not wait
for minutes: time-lapse.py FACTOR DASHBOARDS OUT

Divided are `for:`, ranges (`[5m]`), `offset`s, and the intervals at which is scraped, evaluated and notified (not below
a second for scrapes), and the lag that TraceExportFailing bears. Other expressions, labels and thresholds stay as they
are: a ratio over 5 minutes becomes the same ratio over 30 seconds. Three thresholds that are times stay too, and so
become, relatively, longer: CollectorIngestLag (60 s), ContainersRestarted (2 minutes) and HostDiskFull (a day ahead).
"""

import pathlib
import re
import sys

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = r"(\d+)([smhd])\b"
RULES = re.compile(rf"((?:for: |\[|offset )){DURATION}")
LAGS = re.compile(r"(_export_lag_seconds[^<>\n]*> )(\d+)\b")
SCRAPES = re.compile(rf"((?:scrape|evaluation)_interval: ){DURATION}")
NOTICES = re.compile(rf"((?:group_wait|group_interval|repeat_interval): ){DURATION}")


def divide(pattern, text, factor, least_ms):
    def shorter(match):
        before, number, unit = match.groups()
        milliseconds = int(number) * SECONDS[unit] * 1000
        return f"{before}{0 if milliseconds == 0 else max(round(milliseconds / factor), least_ms)}ms"

    return pattern.sub(shorter, text)


def divide_lags(text, factor):
    return LAGS.sub(lambda match: f"{match[1]}{int(match[2]) / factor:g}", text)


def main():
    factor, source, out = float(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    if factor < 1:
        sys.exit("time-lapse.py: the factor must be 1 or more")
    copied = [
        ("prometheus/prometheus.yml", SCRAPES, 1000),
        ("alertmanager/alertmanager.yml", NOTICES, 100),
        *((f"prometheus/rules/{path.name}", RULES, 1000) for path in (source / "prometheus/rules").glob("*.yml")),
    ]
    for name, pattern, least_ms in copied:
        text = divide(pattern, divide_lags((source / name).read_text(), factor), factor, least_ms)
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


main()
