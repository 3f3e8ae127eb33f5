"""What is broken on purpose, and what must then be so.

Each scenario breaks one thing in the running lab and checks: the alert fires in Alertmanager and reaches the pager;
Binnacle names the cause; where a request is concerned, its log lines and its trace share the correlation id; mending
resolves the alert (where that takes its time, it is waited for after all scenarios); and no line is lost. What was
broken is mended also when a check fails.
"""

import contextlib

import lab
from lab import check, wait

# Far above the customers that the load generator plays.
CUSTOMER = 990_100
# Who logs. Binnacle is not among them: it does not collect its own containers.
LOGGED = ["gateway", "catalog", "cart", "checkout", "payment", "orders", "load", "pager", "prometheus", "alertmanager"]


@contextlib.contextmanager
def broken(mend):
    """Mends at the end, whatever happens in between."""
    try:
        yield
    finally:
        mend()


def healthy(service):
    wait(f"`{service}` healthy", 90, lambda: lab.is_healthy(service))


def failing_order(seconds=120):
    """An order that fails at the shop's side, not for the bank's decline."""

    def attempt():
        lab.fill_cart(CUSTOMER, 1003, 1)
        order = lab.check_out(CUSTOMER)
        return order if order.status >= 500 else None

    return wait("an order that fails", seconds, attempt)


def order_goes_through():
    def attempt():
        lab.fill_cart(CUSTOMER, 1003, 1)
        return lab.check_out(CUSTOMER).status == 200

    wait("an order that goes through", 120, attempt)


def verdict(service, cause, since):
    """`why` of the service's newest death, which must be of this cause and come after `since`."""

    def settled():
        death = lab.why(service)
        check(death, f"`why {service}` knows of no death")
        check(death["at"] >= since[:19], f"the newest death is older: {death['at']}")
        check(death["cause"] == cause, f"`why {service}` says {death['cause']}: {death['summary']}")
        return death

    return wait(f"the verdict `{cause}` on `{service}`", 60, settled)


def blamed(service, dependency, through, since):
    """An error of `service` that names the dependency, of a request whose trace goes through these services."""

    def found():
        errors = lab.search(f"service:{service} level:error {dependency}", "--from", since)
        of_requests = [record for record in errors if "correlation_id" in record["metadata"]]
        check(of_requests, f"of {len(errors)} errors of `{service}` none belongs to a request")
        ids = of_requests[0]["metadata"]
        trace, spans = lab.spans(ids["correlation_id"])
        check(ids["trace_id"] == trace, "the line and the trace differ")
        services = {span["service"] for span in spans}
        check(through <= services, f"the trace {trace} has spans of {sorted(services)}")
        return of_requests[0]["line"]

    return wait(f"`{dependency}` named as the cause", 90, found)


def no_gap():
    gaps = lab.series("increase(docker_logs_gaps_total[1m]) > 0")
    check(not gaps, f"gaps were recorded: {gaps}")


# === scenarios ===


def slow_payment():
    """Charges take 4 s, longer than callers wait."""
    since = lab.now()
    with broken(lambda: lab.break_service("payment")):
        lab.break_service("payment", "latency_ms=4000")
        order = failing_order()
        page = lab.fires("CircuitOpen", since, upstream="payment")

        # The order that failed leads to the charge that was slow.
        def slow_charge():
            slow = lab.search(f"{order.correlation_id} service:payment duration_ms:>=4000")
            check(slow, f"no slow line of `payment` has the correlation id {order.correlation_id}")
            trace, spans = lab.spans(order.correlation_id)
            check(slow[0]["metadata"]["trace_id"] == trace, "the line and the trace differ")
            charges = [span for span in spans if span["service"] == "payment" and span["duration"] >= 4_000_000]
            check(charges, f"the trace {trace} has no slow span of `payment`")
            return trace, charges[0]["duration"]

        trace, duration = wait("the slow charge behind the order", 90, slow_charge)
    lab.resolves("CircuitOpen", since, upstream="payment")
    order_goes_through()
    lab.nothing_is_missing("payment")
    return f"{page['summary']}; order {order.correlation_id} is trace {trace}, its charge took {duration / 1e6:.2f} s"


def killed_service():
    """SIGKILL through Docker: no restart policy brings it back."""
    since = lab.now()
    with broken(lambda: lab.docker("start", lab.container("payment"))):
        lab.docker("kill", "--signal=KILL", lab.container("payment"))
        page = lab.fires("ContainerDown", since, name=lab.container("payment"))
        death = verdict("payment", "docker_kill", since)
    healthy("payment")
    lab.resolves("ContainerDown", since, name=lab.container("payment"))
    lab.nothing_is_missing("payment")
    return f"{page['summary']}; why: {death['summary']}"


def stopped_service():
    """SIGTERM through Docker: it ends in order, and is missed nevertheless."""
    since = lab.now()
    with broken(lambda: lab.docker("start", lab.container("catalog"))):
        lab.docker("stop", lab.container("catalog"))
        page = lab.fires("TargetDown", since, instance="catalog:8080")
        death = verdict("catalog", "docker_stop", since)
        last = lab.search("service:catalog stopped", "--from", since)
        check(last, "the last line of `catalog` is not stored")
        # An end in good order is no failure of the container.
        check(not lab.alerts("ContainerDown", name=lab.container("catalog")), "ContainerDown fires for an orderly end")
    healthy("catalog")
    lab.resolves("TargetDown", since, instance="catalog:8080")
    lab.nothing_is_missing("catalog")
    return f"{page['summary']}; why: {death['summary']}"


def memory_leak():
    """40 MB a second, until the kernel kills it at its limit; the restart policy brings it back."""
    since = lab.now()
    with broken(lambda: healthy("payment")):
        lab.break_service("payment", "leak_bytes_per_second=40000000")
        page = lab.fires("ContainerOOMKilled", since, name=lab.container("payment"))
        death = verdict("payment", "oom_kill", since)
        injected = lab.search('service:payment "fault injected"', "--from", since)
        check(injected, "the line before the leak is not stored")
    lab.resolves_later("ContainerOOMKilled", since, name=lab.container("payment"))
    lab.nothing_is_missing("payment")
    return f"{page['summary']}; why: {death['summary']}"


def cut_network():
    """PostgreSQL loses its network."""
    since = lab.now()
    backend, postgres = f"{lab.PROJECT}_backend", lab.container("postgres")
    with broken(lambda: lab.docker("network", "connect", "--alias", "postgres", backend, postgres)):
        lab.docker("network", "disconnect", backend, postgres)
        page = lab.fires("OrdersBackendDown", since, dependency="postgres")

        # From an error that names PostgreSQL to the customer's request that it spoilt.
        line = blamed("orders", "postgres", {"gateway", "checkout", "orders"}, since)

        # Callers give up calling `orders`; nobody is paged for what the database explains.
        def held_back():
            open_circuits = lab.alerts("CircuitOpen", upstream="orders")
            loud = [alert for alert in open_circuits if not alert["status"]["inhibitedBy"]]
            check(not loud, f"CircuitOpen is not inhibited: {loud}")
            return open_circuits

        wait("CircuitOpen held back", lab.ALERT_SECONDS, held_back)
    healthy("orders")
    lab.resolves("OrdersBackendDown", since, dependency="postgres")
    order_goes_through()
    lab.nothing_is_missing("orders")
    return f"{page['summary']}; orders: {line}"


def log_burst():
    """50,000 numbered lines as fast as they go."""
    since, lines = lab.now(), 50_000
    lab.break_service("catalog", f"log_burst_lines={lines}")
    page = lab.fires("ContainerLogFlood", since, name=lab.container("catalog"))

    def stored():
        burst = lab.search('service:catalog "log burst"', "--from", since)
        found = [record["line"].split("line=")[1].split()[0] for record in burst]
        check(len(found) == lines, f"{len(found)} of {lines} lines are stored")
        return found

    numbers = wait(f"{lines} lines stored", 120, stored)
    check(sorted(map(int, numbers)) == list(range(1, lines + 1)), "lines are repeated or missing")
    no_gap()
    check(not lab.alerts("CollectorDroppingLogs"), "CollectorDroppingLogs fires")
    lab.resolves_later("ContainerLogFlood", since, name=lab.container("catalog"))
    return f"{page['summary']}; {lines} lines of it are stored, each once, without a gap"


def disk_full():
    """No room is left on the disk of Binnacle's store."""
    since = lab.now()
    with broken(lab.free_disk):
        lab.fill_disk()
        # Nothing new can be found now: what is told is looked at where it is told.
        lab.is_active("CollectorDiskLow")
        lab.is_active("CollectorIndexCommitFailing")
        cause = [line for line in lab.logged("collect") if "no space left" in line or "disk is full" in line]
        check(cause, "the collector does not name the full disk")
        check(lab.search("service:gateway", limit=1), "what is stored is not found while the disk is full")
    for alert in ("CollectorDiskLow", "CollectorIndexCommitFailing"):
        page = lab.told(alert, since)
        lab.resolves(alert, since)
    for service in LOGGED:
        lab.nothing_is_missing(service)
    no_gap()
    return f"{page['summary']}; collect: {cause[-1]}; no line is lost"


def throttled_cpu():
    """The gateway gets a hundredth of a CPU."""
    since = lab.now()
    gateway = lab.container("gateway")
    with broken(lambda: lab.docker("update", "--cpus", "0.5", gateway)):
        lab.docker("update", "--cpus", "0.01", gateway)
        page = lab.fires("ContainerCpuThrottled", since, name=gateway)
        slow = wait("slow requests of the gateway", 60, lambda: lab.search("service:gateway duration_ms:>200", "--from", since))
    lab.resolves_later("ContainerCpuThrottled", since, name=gateway)
    lab.nothing_is_missing("gateway")
    return f"{page['summary']}; {len(slow)} requests took more than 200 ms"


def frozen_cache():
    """Redis freezes."""
    since = lab.now()
    redis = lab.container("redis")
    with broken(lambda: lab.docker("unpause", redis)):
        lab.docker("pause", redis)
        page = lab.fires("CartBackendDown", since, dependency="redis")
        line = blamed("cart", "redis", {"gateway", "cart"}, since)
    lab.resolves("CartBackendDown", since, dependency="redis")
    order_goes_through()
    lab.nothing_is_missing("cart")
    return f"{page['summary']}; cart: {line}"


def crash_loop():
    """A service crashes as often as it is started again."""
    since = lab.now()
    payment = lab.container("payment")

    before = lab.inspect("payment")["RestartCount"]

    def crashed_often():
        # What asks for the crash dies with the container.
        lab.docker("exec", payment, "/usr/bin/shop", "fault", "crash=true", fails=True)
        return lab.inspect("payment")["RestartCount"] >= before + 5

    wait("five crashes of `payment`", 60, crashed_often)
    page = lab.fires("ContainerRestartLoop", since, name=payment)
    death = verdict("payment", "crash", since)
    check(death["pattern"]["restart_loop"], f"`why` sees no loop: {death['pattern']}")
    healthy("payment")
    lab.resolves_later("ContainerRestartLoop", since, name=payment)
    lab.nothing_is_missing("payment")
    return f"{page['summary']}; why: {death['summary']}"


def lost_receiver():
    """Nobody takes the traces."""
    since = lab.now()
    with broken(lambda: lab.docker("start", lab.container("jaeger"))):
        lab.docker("stop", lab.container("jaeger"))
        page = lab.fires("TraceExportFailing", since)
        death = verdict("jaeger", "docker_stop", since)
    lab.resolves("TraceExportFailing", since)
    dropped = lab.series("binnacle_export_dropped_spans_total > 0")
    check(not dropped, f"spans were dropped: {dropped}")

    def caught_up():
        return lab.series("binnacle_export_waiting_spans < 100 and binnacle_export_lag_seconds < 10")

    wait("the spans that waited sent", 60, caught_up)
    return f"{page['summary']}; why: {death['summary']}; no span was dropped"


def wrong_tokens():
    """Somebody asks Binnacle with tokens that it does not know."""
    since = lab.now()

    def told():
        for attempt in range(5):
            status, _, _ = lab.ask(f"{lab.BINNACLE}/api/v1/labels", headers={"authorization": f"Bearer guess-{attempt}"})
            check(status == 401, f"a wrong token is answered with {status}")
        return lab.alerts("WrongTokens")

    wait("WrongTokens in Alertmanager", lab.ALERT_SECONDS, told)
    page = lab.fires("WrongTokens", since)
    lab.resolves_later("WrongTokens", since)
    return page["summary"]


def hung_docker():
    """dockerd answers nobody, and takes no lines: services wait once the pipe to it is full."""
    since = lab.now()
    with broken(lab.wake_docker):
        lab.hang_docker()
        lab.is_active("DockerDaemonDown")
    page = lab.told("DockerDaemonDown", since)
    lab.resolves("DockerDaemonDown", since)

    cause = [line for line in lab.logged("collect") if "cannot reach Docker" in line]
    check(cause, "the collector does not name the daemon")
    order_goes_through()
    for service in LOGGED:
        lab.nothing_is_missing(service)
    no_gap()
    return f"{page['summary']}; collect: {cause[-1]}; no line is lost"


def restarted_docker():
    """dockerd is restarted, and with it everything it runs, Prometheus and Binnacle too."""
    # What began with the lab itself does not count as begun again.
    young = 'time() - container_creation_time_seconds{name!=""} < 70'
    wait("the lab a minute old", 90, lambda: not lab.series(young))
    since = lab.now()
    lab.restart_docker()
    for service in [*LOGGED, "collect", "serve"]:
        healthy(service)
    page = lab.fires("ContainersRestarted", since)
    order_goes_through()
    deaths = {service: verdict(service, "daemon_restart", since) for service in ("gateway", "payment", "redis")}
    ended = {record["labels"]["service_name"] for record in lab.search("stopping SIGTERM", "--from", since)}
    check({"gateway", "checkout", "payment"} <= ended, f"the last words of {sorted(ended)} alone are stored")
    for service in LOGGED:
        lab.nothing_is_missing(service)
    no_gap()
    lab.resolves_later("ContainersRestarted", since)
    return f"{page['summary']}; why: {deaths['payment']['summary']}; the last words of {len(ended)} services are stored"


SCENARIOS = [
    slow_payment,
    killed_service,
    stopped_service,
    crash_loop,
    memory_leak,
    cut_network,
    frozen_cache,
    log_burst,
    throttled_cpu,
    lost_receiver,
    wrong_tokens,
    disk_full,
    hung_docker,
    restarted_docker,
]

# Budgets stay spent for longer than a test can wait.
SPENT = {"ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", "LatencyBudgetBurnFast", "LatencyBudgetBurnSlow"}

# Alerts that no scenario is sure to bring about, and why. Their rules are tested in dashboards/prometheus/tests.
OUT_OF_REACH = {
    "CollectorDroppingLogs": "no scenario may lose a line; tests/rotation.rs makes Docker lose some",
    "CollectorIngestLag": "takes a disk or a daemon that is slow for minutes, not one that fails",
    "CollectorStoreDamaged": "takes damage to stored files; tests/torture does that",
    "ContainerHighCpu": "takes most of the machine for ten minutes",
    "ContainerHighMemory": "takes minutes just below the limit; memory-leak goes past it",
    "ContainerLogSilence": "takes more than an hour",
    "ContainerLogsUnreadable": "of severity info: nobody is told",
    "ContainerUnhealthy": "held back where the cause is known; comes where a check times out",
    "DockerApiErrors": "takes a daemon that refuses requests for minutes",
    "HostDiskFull": "of the machine, not of the lab",
    "HostHighLoad": "of the machine, not of the lab",
    "HostMemoryLow": "of the machine, not of the lab",
    "PaymentFailureRate": "takes a bank that is silent, which is settled when `payment` starts",
    **{name: "takes hours, or more of an hour's requests than the scenarios spoil" for name in SPENT},
}
