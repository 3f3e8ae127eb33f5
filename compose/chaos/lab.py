"""The running lab, seen from outside: its containers, what Prometheus and Alertmanager say, what Binnacle finds.

Containers are found by compose's labels, so both versions of compose will do. Ports are those that compose.yaml
publishes on loopback. Every wait has a deadline; what does not come within it raises `Failed`, which names what was
awaited and what was seen last.

    COMPOSE_PROJECT_NAME   the lab's project (default: compose)
    LAB_SECRETS            the folder of its passwords (default: compose/secrets)
    LAB_RESTART_DOCKER     shell command that restarts dockerd (default: systemctl restart docker)
    LAB_HANG_DOCKER        shell command that stops dockerd in its tracks (default: kill -STOP)
    LAB_WAKE_DOCKER        and the one that lets it go on (default: kill -CONT)
    LAB_FILL_DISK          shell command that leaves no room on the disk of Binnacle's volume (no default)
    LAB_FREE_DISK          and the one that makes room again (no default)
    LAB_TIME_LAPSE         how many times faster than written the rules are (default: 1)
"""

import collections
import datetime
import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "compose")
SECRETS = pathlib.Path(os.environ.get("LAB_SECRETS") or pathlib.Path(__file__).parent.parent / "secrets")
GATEWAY, BINNACLE = "http://127.0.0.1:8080", "http://127.0.0.1:3100"
PROMETHEUS, ALERTMANAGER = "http://127.0.0.1:9090", "http://127.0.0.1:9093"
ANSWER_SECONDS = 30
# An alert comes, and goes, within 15 minutes of the rules' time; a minute is for what takes its time anyway.
ALERT_SECONDS = 60 + 900 / float(os.environ.get("LAB_TIME_LAPSE", "1"))


# Nothing may fire for so long before the lab counts as quiet.
QUIET_SECONDS = 15
# Alerts that fire in a healthy lab: one always does, the others tell of the machine that it runs on.
NO_FAULT = {"Watchdog", "HostDiskFull", "HostHighLoad", "HostMemoryLow"}


class Failed(Exception):
    """Something that was to be so is not."""


def now():
    """This moment, as Binnacle takes times."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def wait(what, limit, ask):
    """The first answer of `ask` that is neither empty nor None, within `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        answer, seen = None, None
        try:
            answer = ask()
        except (OSError, Failed) as error:  # not up yet, or just broken on purpose
            seen = error
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit} s; last: {seen or answer}")
        time.sleep(0.5)


def check(holds, what):
    if not holds:
        raise Failed(what)


# === containers ===


def docker(*arguments, fails=False):
    """What docker prints on standard output; with `fails`, its status and both outputs instead of an error."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, errors="replace")
    if fails:
        return done.returncode, done.stdout, done.stderr
    if done.returncode != 0:
        raise Failed(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def container(service):
    """The name of a service's container."""
    labels = {"project": PROJECT, "service": service}
    filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    names = docker("ps", "--all", *filters, "--format", "{{.Names}}").split()
    check(len(names) == 1, f"service `{service}` of project `{PROJECT}` has {len(names)} containers")
    return names[0]


def inspect(service):
    return json.loads(docker("inspect", container(service)))[0]


def is_healthy(service):
    return inspect(service)["State"].get("Health", {}).get("Status") == "healthy"


def restart_docker():
    """Ends dockerd in order, with everything it runs, and waits until a new one answers."""
    shell("LAB_RESTART_DOCKER", "systemctl restart docker")
    wait("dockerd gone", 60, lambda: docker("version", fails=True)[0] != 0)
    wait("dockerd back", 120, lambda: docker("version"))


def shell(variable, default=None):
    """Runs the command that an environment variable holds."""
    command = os.environ.get(variable) or default
    check(command, f"{variable} is not set: see compose/README.md")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace")
    check(done.returncode == 0, f"{variable}: {done.stderr.strip()}")


def hang_docker():
    """Stops dockerd in its tracks: it answers nobody until it is woken, `docker` least of all."""
    shell("LAB_HANG_DOCKER", "kill -STOP $(pidof dockerd)")


def wake_docker():
    shell("LAB_WAKE_DOCKER", "kill -CONT $(pidof dockerd)")
    wait("dockerd back", 60, lambda: docker("version"))


def fill_disk():
    """Leaves no room for Binnacle's store."""

    def filled():
        shell("LAB_FILL_DISK")  # fails when the store has grown meanwhile
        return True

    wait("the disk full", 20, filled)


def free_disk():
    shell("LAB_FREE_DISK")


def break_service(service, *changes):
    """Injects faults (`latency_ms=4000`); without changes mends the service."""
    return docker("exec", container(service), "/usr/bin/shop", "fault", *changes)


def logged(service):
    """How often each line stands in the log that Docker keeps of a service."""
    # Both streams: services print on one, the kernel's and the runtime's words come on the other.
    _, out, errors = docker("logs", container(service), fails=True)
    return collections.Counter((out + errors).splitlines())


# === HTTP ===


def ask(url, body=None, headers=(), **query):
    """Status, headers and text of the answer, whatever its status."""
    if query:
        url = f"{url}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def get_json(url, headers=(), **query):
    status, _, text = ask(url, headers=headers, **query)
    check(status == 200, f"{url} answered {status}: {text[:300]}")
    return json.loads(text)


# === Prometheus and Alertmanager ===


def series(expression):
    """The series that an instant query finds."""
    return get_json(f"{PROMETHEUS}/api/v1/query", query=expression)["data"]["result"]


def alerts(name, /, **labels):
    """The alerts of that name and those labels that Alertmanager has now."""
    found = get_json(f"{ALERTMANAGER}/api/v2/alerts", filter=f'alertname="{name}"')
    return [alert for alert in found if labels.items() <= alert["labels"].items()]


def quiet(but=frozenset()):
    """Waits until for a while nothing fires, or is about to, that tells of a fault in the lab, `but` these."""
    since = None

    def is_quiet():
        nonlocal since
        found = get_json(f"{PROMETHEUS}/api/v1/alerts")["data"]["alerts"]
        loud = [f"{alert['state']} {alert['labels']}" for alert in found if alert["labels"]["alertname"] not in NO_FAULT | but]
        since = None if loud else since or time.monotonic()
        check(not loud, f"{loud}")
        return time.monotonic() - since >= QUIET_SECONDS

    wait("no alert in the lab", ALERT_SECONDS, is_quiet)


def pages(name, status, since, /, **labels):
    """What the pager was told of an alert after a time, as Binnacle has it."""
    lines = [json.loads(record["line"]) for record in search(f"service:pager alert:{name}", "--from", since)]
    return [page for page in lines if page["status"] == status and labels.items() <= page["labels"].items()]


def paged(since):
    """Names of the alerts of which the pager was told after a time that they fire, as Binnacle has it."""
    lines = [json.loads(record["line"]) for record in search("service:pager alert:*", "--from", since)]
    return {page["alert"] for page in lines if page.get("status") == "firing"}


def is_active(name, /, **labels):
    """Waits until the alert is active in Alertmanager."""
    wait(f"{name} {labels} in Alertmanager", ALERT_SECONDS, lambda: alerts(name, **labels))


def told(name, since, /, **labels):
    """Waits until the pager's line about the alert is found in Binnacle; returns what the pager was told."""
    return wait(f"{name} {labels} told to the pager", ALERT_SECONDS, lambda: pages(name, "firing", since, **labels))[0]


def fires(name, since, /, **labels):
    """Waits until the alert is active in Alertmanager and has been delivered to the pager; returns what that was told."""
    is_active(name, **labels)
    return told(name, since, **labels)


def resolves(name, since, /, **labels):
    """Waits until Alertmanager no longer has the alert and the pager was told so."""

    def gone():
        left = alerts(name, **labels)
        check(not left, f"{len(left)} are still active")
        return True

    wait(f"{name} {labels} gone from Alertmanager", ALERT_SECONDS, gone)
    wait(f"{name} {labels} told to be resolved", ALERT_SECONDS, lambda: pages(name, "resolved", since, **labels))


# Alerts that go by themselves some minutes after what brought them about, and are waited for at the end.
awaited = []


def resolves_later(name, since, /, **labels):
    """Leaves it to `all_resolve` to wait as `resolves` does."""
    awaited.append((name, since, labels))


def all_resolve():
    for name, since, labels in awaited:
        resolves(name, since, **labels)
    return ", ".join(name for name, _, _ in awaited)


# === Binnacle ===


def token():
    return (SECRETS / "binnacle_token").read_text().strip()


def binnacle_api(path, **query):
    return get_json(f"{BINNACLE}{path}", headers={"authorization": f"Bearer {token()}"}, **query)


def binnacle(*arguments):
    """What the command prints, run where `serve` runs; nothing found is an empty text."""
    status, out, errors = docker("exec", container("serve"), "/usr/bin/binnacle", *arguments, fails=True)
    check(status in (0, 1), f"binnacle {' '.join(arguments)}: {errors.strip()}")
    return out


def search(query, *flags, limit=0):
    """The records that a search finds, oldest first; limit 0 is all."""
    found = binnacle("search", "--json", "--forward", "--limit", str(limit), *flags, query)
    return [json.loads(line) for line in found.splitlines()]


def why(service):
    """The newest verdict on a service's deaths, or None."""
    deaths = binnacle("why", "--json", "--limit", "1", service).splitlines()
    return json.loads(deaths[0]) if deaths else None


def spans(correlation_id):
    """The spans of a request by its correlation id, in Jaeger's form, each with its `service`; the trace id before them."""
    records = search(correlation_id)
    traces = {record["metadata"].get("trace_id") for record in records}
    check(len(traces) == 1, f"the lines of {correlation_id} have the traces {traces}")
    trace = traces.pop()
    data = binnacle_api(f"/jaeger/api/traces/{trace}")["data"][0]
    services = {key: process["serviceName"] for key, process in data["processes"].items()}
    return trace, [{**span, "service": services[span["processID"]]} for span in data["spans"]]


def missing(service):
    """Lines that Docker keeps of a service and Binnacle has not stored, or not as often."""
    kept = logged(service)
    stored = collections.Counter()
    for record in search(f"service:{service}"):
        # Stack traces are one record of several lines.
        stored.update(record["line"].splitlines() or [""])
    return kept - stored


def nothing_is_missing(service, limit=60):
    """Waits until everything that Docker keeps of a service is stored."""

    def all_there():
        lost = missing(service)
        check(not lost, f"{sum(lost.values())} lines of `{service}` are not stored, for example {next(iter(lost), '')!r}")
        return True

    return wait(f"all lines of `{service}` stored", limit, all_there)


# === the shop ===


Order = collections.namedtuple("Order", "status answer correlation_id seconds")


def fill_cart(customer, sku, quantity):
    status, _, text = ask(f"{GATEWAY}/carts/{customer}/items", {"sku": sku, "quantity": quantity})
    check(status == 200, f"the cart answered {status}: {text}")


def check_out(customer):
    """One checkout under a correlation id of its own."""
    correlation_id = str(uuid.uuid4())
    begun = time.monotonic()
    headers = {"x-correlation-id": correlation_id}
    status, _, text = ask(f"{GATEWAY}/carts/{customer}/checkout", {}, headers)
    return Order(status, json.loads(text), correlation_id, time.monotonic() - begun)
