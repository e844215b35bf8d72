"""One round, in groups of rows. Each notes what it found under names that `report.py` reads."""

import os
from contextlib import contextmanager
from functools import partial

from load import drain, eyego_bench
from processes import peak_rss_mb

BATCH_PATH = "/api/logs/batch"
# A request of a thousand logs has 330 kB: many more at a time would meet the limit of bytes in flight.
BATCHES = ((100, 16), (1_000, 8))
READ_CONNECTIONS = 16
PAGE_LOGS = 100
DEEP_PAGE = 1_000
LATENCY_CONNECTIONS = 64
TOOL_CONNECTIONS = 64
# Of the bare handler's rate: half of what the rows' targets ask for.
HALF_EMBEDDED, HALF_KAFKA = ("post.bare@128", 0.40 / 2), ("post.bare@64", 0.36 / 2)
# Where the time until everything is stored is taken.
DRAINED = {("embedded", 128), ("kafka-all", 64)}


@contextmanager
def running(rig, program):
    """Removes its folder at its end: backlogs are large."""
    with program:
        yield program
    rig.remove(program.folder)


def on_kafka(role):
    return lambda rig: rig.on_servers(role)


def post(rig, name, start, connections):
    """Single logs, as fast as they are answered."""
    with running(rig, start(rig)) as target:
        load = rig.load(target, connections)
        row = f"post.{name}@{connections}"
        rig.note(row, load.requests_per_s)
        rig.note(f"{row}.p50_ms", load.found["p50_ms"])
        rig.note(f"{row}.p99_ms", load.found["p99_ms"])
        rig.note(f"{row}.cpu_us", load.cpu_us_per_log)
        check(rig, row, target, load)
        if name == "bare":
            return
        if (name, connections) in DRAINED:
            seconds = rig.plan.warm_seconds + load.seconds
            rig.note(f"{row}.drain_per_load", rig.wait_until_stored(target, seconds) / seconds)
        rig.note(f"{row}.rss_mb", peak_rss_mb(target.pid))


def check(rig, row, service, load):
    """A load that was refused, or taken and not published, is no figure."""
    if load.failures:
        rig.trouble(f"{row}: {load.failures} requests failed")
    taken = getattr(service, "taken", lambda: load.logs)()
    if taken < load.logs:
        rig.trouble(f"{row}: {load.logs} logs answered, {taken} taken")


def batch(name, start):
    def group(rig):
        for items, connections in BATCHES:
            with running(rig, start(rig)) as service:
                if service.has(BATCH_PATH):
                    batch_of(rig, f"batch.{name}@{items}", service, items, connections)

    return group


def batch_of(rig, row, service, items, connections):
    options = {"arguments": [items], "logs_per_request": items}
    load = rig.load(service, connections, rig.plan.batch_seconds, **options)
    ledger = service.ledger()
    rig.note(row, load.logs_per_s)
    rig.note(f"{row}.p99_ms", load.found["p99_ms"])
    rig.note(f"{row}.cpu_us", load.cpu_us_per_log)
    rig.note(f"{row}.rss_mb", load.rss_mb)
    check(rig, row, service, load)
    if ledger:
        rig.note(f"{row}.stored_share", ledger["stored"] / max(ledger["accepted"], 1))


def ceiling_kafka(rig):
    data = rig.fresh_data()
    rig.settle()
    rig.note("ceiling.kafka", rig.ceilings("kafka", data["KAFKA_BROKERS"], data["KAFKA_TOPIC"], rig.plan.kafka_seconds))


def ceiling_mongo(rig):
    data = rig.fresh_data()
    rig.settle()
    rig.note("ceiling.mongo", rig.ceilings("mongo", data["MONGO_URI"], rig.plan.documents))


def ceiling_sqlite(name):
    def group(rig):
        rig.settle()
        rig.note(f"ceiling.{name}", rig.ceilings(name, rig.fresh_folder(), rig.plan.rows))

    return group


def drain_embedded(rig):
    folder = rig.fresh_folder()
    rig.ceilings("backlog-embedded", folder / "data", rig.plan.backlog)
    rig.settle()
    with running(rig, rig.embedded(folder)) as service:
        drained(rig, "embedded", service)
        reads(rig, "embedded", service)


def drain_kafka(rig):
    data = rig.fresh_data()
    rig.ceilings("backlog-kafka", data["KAFKA_BROKERS"], data["KAFKA_TOPIC"], rig.plan.backlog)
    rig.settle()
    with running(rig, rig.on_servers("worker", data)) as service:
        drained(rig, "kafka", service)
    with running(rig, rig.on_servers("all", data)) as service:
        reads(rig, "kafka", service)


def drained(rig, name, service):
    rate, cpu, rss = drain(service, rig.plan.backlog)
    rig.note(f"drain.{name}", rate)
    rig.note(f"drain.{name}.cpu_us", cpu)
    rig.note(f"drain.{name}.rss_mb", rss)


def reads(rig, name, service):
    """Of the logs that were just drained."""
    kinds = {
        "first page": ["page", 1, PAGE_LOGS],
        "deep page": ["page", max(1, min(DEEP_PAGE, rig.plan.backlog // PAGE_LOGS - 1)), PAGE_LOGS],
        "by id": ["id", rig.plan.backlog],
        "filtered": ["user", PAGE_LOGS],
    }
    for kind, arguments in kinds.items():
        options = {"script": "reads.lua", "arguments": arguments}
        load = rig.load(service, READ_CONNECTIONS, rig.plan.read_seconds, **options)
        row = f"read.{name}.{kind}"
        rig.note(row, load.requests_per_s)
        rig.note(f"{row}.p50_ms", load.found["p50_ms"])
        rig.note(f"{row}.p99_ms", load.found["p99_ms"])
        if load.failures:
            rig.trouble(f"{row}: {load.failures} requests failed")


def light(name, start):
    """From the 202 to the log being readable, at a hundred logs a second."""

    def group(rig):
        disk(rig, f"light.{name}", rig.plan.small_writes)
        with running(rig, start(rig)) as service:
            report = bench(rig, service, "--rate", 100, "--connections", 16, "--duration", f"{rig.plan.light_seconds}s")
            if report and report["readable_ms"]:
                rig.note(f"light.{name}.readable_p50_ms", report["readable_ms"]["p50"])
                rig.note(f"light.{name}.readable_p99_ms", report["readable_ms"]["p99"])

    return group


def half(name, start, of, writes):
    """The latency of POST at half of the rate that is asked for, open loop, and of such writes on the bare disk."""

    def group(rig):
        row, share = of
        if row not in rig.results:
            rig.trouble(f"half {name}: needs {row}")
            return
        rate = round(rig.results[row] * share)
        with running(rig, start(rig)) as service:
            load = ["--rate", rate, "--connections", LATENCY_CONNECTIONS, "--duration"]
            # At this very load: a broker that has just been started translates itself anew when the load changes, and
            # takes one of the cores for it.
            bench(rig, service, *load, f"{rig.plan.half_warm_seconds}s")
            disk(rig, f"half.{name}", writes)
            report = bench(rig, service, *load, f"{rig.plan.half_seconds}s")
            if report and report["latency_ms"]:
                rig.note(f"half.{name}.rate", rate)
                rig.note(f"half.{name}.p50_ms", report["latency_ms"]["p50"])
                rig.note(f"half.{name}.p99_ms", report["latency_ms"]["p99"])
                if report["load"]["acknowledged_per_s"] < 0.99 * rate:
                    rig.trouble(f"half {name}: {report['load']['acknowledged_per_s']:.0f}/s instead of {rate}/s")

    return group


def disk(rig, row, writes):
    """How long the disk alone takes for such writes, just before: no promise to keep data can be faster."""
    # What the build and the groups before have written is on its way to the disk, and would be waited for here.
    os.sync()
    rig.settle()
    for name, value in rig.fsyncs(writes).items():
        rig.note(f"{row}.fsync_{name}", value)


def bench(rig, target, *options):
    rig.settle()
    return eyego_bench(rig.programs["eyego"], target.url, "--no-check", "--drain-timeout", 0, *options)


def tool(rig):
    """`eyego bench` beside wrk, on the bare handler: it must not be what limits a figure."""
    with running(rig, rig.bare()) as target:
        by_wrk = rig.load(target, TOOL_CONNECTIONS)
        report = bench(rig, target, "--connections", TOOL_CONNECTIONS, "--duration", f"{rig.plan.seconds}s")
        if report:
            rig.note("tool.bench", report["load"]["requests_per_s"])
            rig.note("tool.wrk", by_wrk.requests_per_s)


def embedded(rig):
    return rig.embedded()


def bare(rig):
    return rig.bare()


def posts(plan):
    """At each number of connections the yardstick, and beside it everything that is held against it."""
    starts = {"bare": bare, "embedded": embedded, "kafka-api": on_kafka("api"), "kafka-all": on_kafka("all")}
    for connections in plan.connections:
        for name, start in starts.items():
            yield f"post {name}@{connections}", partial(post, name=name, start=start, connections=connections)


def groups(plan):
    """Names and what to call with the rig, in this order: `half` needs rates of `post`."""
    return (
        *posts(plan),
        ("batch embedded", batch("embedded", embedded)),
        ("ceiling sqlite-queue", ceiling_sqlite("sqlite-queue")),
        ("batch kafka", batch("kafka", on_kafka("api"))),
        ("ceiling kafka", ceiling_kafka),
        ("drain embedded", drain_embedded),
        ("ceiling sqlite-logs", ceiling_sqlite("sqlite-logs")),
        ("drain kafka", drain_kafka),
        ("ceiling mongo", ceiling_mongo),
        ("light embedded", light("embedded", embedded)),
        ("light kafka", light("kafka", on_kafka("all"))),
        ("half embedded", half("embedded", embedded, HALF_EMBEDDED, plan.group_commits)),
        ("half kafka", half("kafka", on_kafka("api"), HALF_KAFKA, plan.small_writes)),
        ("tool", tool),
    )
