"""How fast logs are found: see benches/queries.sh."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compare"))

from build import build
from client import Client, latency
from load import drain, wrk
from processes import ROOT, Program, Servers, Service, forget_peak, peak_rss_mb, rss_mb
from questions import PAGE, questions
from table import write

DEEP = 1_000_000
ERASED = 50_000
INTAKE_SECONDS = 15
# In seconds: longer than an erasure or a backlog may take.
PATIENCE = 300
# Of what runs through all logs.
TIMES = 3
ENVIRONMENT = {"QUERY_TIMEOUT": "60s"}
# When the logs happened, and whether there are indexes for filters. The last one's logs are asked for afterwards.
WRITES = {
    "write, without indexes, logs/s": ("live", False),
    "write, backfill of ninety days, logs/s": ("shuffled", True),
    "write, with indexes, logs/s": ("live", True),
}


class Bench:
    def __init__(self):
        self.logs = int(os.environ.get("LOGS", "10000000"))
        # Enough to see the cost of indexes, and no more than what is to be searched.
        self.written = min(self.logs, 1_000_000)
        self.folder = ROOT / "target/queries"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.kept = Path(os.environ.get("KEEP", self.folder / "kept")).resolve()
        self.kept.mkdir(parents=True, exist_ok=True)
        programs = self.folder / "programs"
        programs.mkdir()
        self.programs = build(programs)
        self.results = {"logs": self.logs, "written": self.written, "embedded": {}, "mongo": {}}

    def archive(self, *arguments):
        command = [self.programs["archive"], *map(str, arguments)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output.splitlines()[-1])

    def raw(self, *arguments):
        return statistics.median(float(self.archive(*arguments)["per_s"]) for _ in range(TIMES))

    def note(self, backend, row, value):
        self.results[backend][row] = value
        (self.folder / "results.json").write_text(json.dumps(self.results, indent=1))
        shown = f"{value:,.2f}" if isinstance(value, float) else value
        print(f"  {row:52} {shown}", flush=True)

    def yardstick(self, backend):
        with Program([self.programs["bare_handler"]], self.folder / "bare") as bare:
            client = Client(bare.url)
            # It refuses the path, which costs it what an answer costs.
            took = []
            for _ in range(2000):
                begun = time.perf_counter()
                client.socket.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                client.some()
                took.append((time.perf_counter() - begun) * 1000)
            took.sort()
            self.note(backend, "bare round trip, ms", took[len(took) // 2])

    def embedded(self):
        folder = self.kept / f"embedded-{self.logs}"
        if not folder.exists():
            data = self.folder / "embedded" / "data"
            stage("filling embedded")
            self.note("embedded", "filling, logs/s", float(self.archive("fill-embedded", data, self.logs)["per_s"]))
            data.rename(folder)
        run = self.folder / "run-embedded"
        run.mkdir()
        # A copy that shares the disk's blocks where the file system can: the questions below change it.
        subprocess.run(["cp", "-a", "--reflink=auto", folder, run / "data"], check=True)
        if "KEEP" not in os.environ:
            shutil.rmtree(folder)
        stage("reading raw")
        self.note("embedded", "raw reading, rows/s", self.raw("read-embedded", run / "data"))
        self.yardstick("embedded")
        with Service(self.programs["eyego"], run, {**ENVIRONMENT, "DATA_DIR": str(run / "data")}) as service:
            self.ask("embedded", service)
        shutil.rmtree(run)
        stage("write cost, embedded")
        self.write_cost("embedded", self.drain_embedded)

    def drain_embedded(self, number, times, with_indexes):
        folder = self.folder / f"written-{number}"
        self.archive("backlog-embedded", folder / "data", self.written, times)
        if not with_indexes:
            self.archive("drop-indexes-embedded", folder / "data")
        os.sync()
        with Service(self.programs["eyego"], folder) as service:
            rate, *_ = drain(service, self.written)
        shutil.rmtree(folder)
        return rate

    def write_cost(self, backend, drained):
        """The drain with all indexes and without those of filters, taking turns."""
        rates = {variant: [] for variant in WRITES}
        for number in range(TIMES * len(WRITES)):
            variant = list(WRITES)[number % len(WRITES)]
            rates[variant].append(drained(number, *WRITES[variant]))
        for variant, found in rates.items():
            self.note(backend, variant, statistics.median(found))

    def mongo(self):
        servers = Servers(self.folder / "servers")
        try:
            self.on_servers(servers.addresses)
        finally:
            servers.end()

    def on_servers(self, addresses):
        def uri(database):
            return addresses["MONGO_URI"].replace("/?", f"/{database}?")

        stage("write cost, MongoDB")
        written = uri("written")

        def drain_kafka(number, times, with_indexes):
            self.archive("drop-mongo", written)
            topic = f"written-{number}"
            self.archive("backlog-kafka", addresses["KAFKA_BROKERS"], topic, self.written, times)
            names = {"KAFKA_TOPIC": topic, "KAFKA_CONSUMER_GROUP": topic}
            environment = {**addresses, **names, "MONGO_URI": written, "ROLE": "worker"}
            with Service(self.programs["eyego"], self.folder / topic, environment) as service:
                if not with_indexes:
                    self.archive("drop-indexes-mongo", written)
                rate, *_ = drain(service, self.written)
            return rate

        self.write_cost("mongo", drain_kafka)
        stage("the original's first page")
        self.note("mongo", "original's first page, ms", self.archive("original", written)["p50_ms"])
        on_servers = {**ENVIRONMENT, "KAFKA_BROKERS": addresses["KAFKA_BROKERS"], "KAFKA_TOPIC": "queries"}
        with Service(self.programs["eyego"], self.folder / "run-million", {**on_servers, "MONGO_URI": written}) as service:
            first = latency(Client(service.url), PAGE)["p50"]
            self.note("mongo", "first page of a million, ms", first)
        self.archive("drop-mongo", written)
        stage("filling MongoDB")
        self.note("mongo", "filling, logs/s", float(self.archive("fill-mongo", uri("queries"), self.logs)["per_s"]))
        stage("reading raw")
        self.note("mongo", "raw reading, rows/s", self.raw("read-mongo", uri("queries")))
        self.yardstick("mongo")
        with Service(self.programs["eyego"], self.folder / "run-mongo", {**on_servers, "MONGO_URI": uri("queries")}) as service:
            self.ask("mongo", service)

    def ask(self, backend, service):
        # What was just loaded is on its way to the disk, and would be waited for here.
        os.sync()
        stage(f"asking, {backend}")
        client = Client(service.url)
        for name, path, _ in questions():
            self.note(backend, name, latency(client, path))
        cursor, depth = None, 0
        while depth < min(DEEP, self.logs // 2):
            page = json.loads(client.ask("/api/logs?limit=1000&count=none" + (f"&cursor={cursor}" if cursor else "")))
            cursor, depth = page["nextCursor"], depth + len(page["logs"])
        self.note(backend, f"page {depth:,} deep by cursor", latency(client, f"{PAGE}&cursor={cursor}"))
        self.results[backend]["deep"] = self.results[backend][f"page {depth:,} deep by cursor"]
        self.export(backend, service)
        self.erasure(backend, service)

    def export(self, backend, service):
        before, path, took = rss_mb(service.pid), "/api/logs/export?format=ndjson", []
        forget_peak(service.pid)
        lines = Client(service.url).lines(path)
        self.note(backend, "memory of an export, MB", peak_rss_mb(service.pid) - before)
        for _ in range(TIMES):
            begun = time.perf_counter()
            Client(service.url).drain(path)
            took.append(time.perf_counter() - begun)
        self.note(backend, "export, rows/s", lines / statistics.median(took))

    def erasure(self, backend, service):
        """Users are erased while logs come as fast as they are taken, each between two loads that nothing is erased in."""
        wrk(service, 64, 3)
        turns = []
        for user in self.users_of(Client(service.url), min(ERASED, self.logs // 100)):
            before = self.intake(service)
            erased, took, during = self.erased(service, user)
            turns.append((during / statistics.mean([before, self.intake(service)]), during, erased, took))
            share, during, *_ = turns[-1]
            print(f"    {user}: {erased} logs in {took:.1f} s, intake {share:.2f} of {during / share:,.0f}/s", flush=True)
        erased, took = max(turn[2:] for turn in turns)
        self.note(backend, "erased logs", erased)
        self.note(backend, "erasure, s", took)
        share, during, *_ = sorted(turns)[len(turns) // 2]
        self.note(backend, "intake without an erasure, logs/s", during / share)
        self.note(backend, "intake during an erasure, logs/s", during)

    def intake(self, service):
        """Logs taken per second, from when all that was taken before is stored."""
        self.settle(service)
        return wrk(service, 64, INTAKE_SECONDS).requests_per_s

    def settle(self, service):
        if service.wait_until_stored(PATIENCE) is None:
            raise RuntimeError("what was taken is not stored")

    def erased(self, service, user):
        """How many logs it had, how long their erasure took, and the intake in its first seconds."""
        self.settle(service)
        client, selected = Client(service.url), f"/api/logs?userId={user}"
        preview = json.loads(client.ask(f"{selected}&dryRun=true", "DELETE"))
        token, begun, done = urllib.parse.quote(preview["token"], safe=""), time.perf_counter(), []
        job = json.loads(client.ask(f"{selected}&token={token}", "DELETE"))

        def watch():
            while not done and time.perf_counter() - begun < PATIENCE:
                found = json.loads(client.ask(f"/api/jobs/{job['id']}"))
                if found["state"] == "done":
                    done.append((found["erased"], time.perf_counter() - begun))
                time.sleep(0.05)

        watching = threading.Thread(target=watch)
        watching.start()
        during = wrk(service, 64, INTAKE_SECONDS).requests_per_s
        while watching.is_alive():
            wrk(service, 64, 3)
        if not done:
            raise RuntimeError("the erasure did not come to its end")
        return *done[0], during

    def users_of(self, client, wanted):
        """Those who have about so many logs."""
        totals = {}
        for number in range(40):
            user = f"user-{number:05}"
            totals[user] = json.loads(client.ask(f"/api/logs?limit=1&userId={user}"))["total"]
        return sorted(totals, key=lambda user: abs(totals[user] - wanted))[:TIMES]


def stage(name):
    print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)


def main():
    bench, only = Bench(), os.environ.get("ONLY", "")
    begun = time.monotonic()
    if only in ("", "embedded"):
        bench.embedded()
    if only in ("", "mongo"):
        bench.mongo()
    print(f"took {(time.monotonic() - begun) / 60:.1f} minutes")
    write(bench.results, keep=only == "" and bench.logs >= 10_000_000)


if "FROM" in os.environ:
    write(json.loads(Path(os.environ["FROM"]).read_text()), keep=True)
else:
    main()
