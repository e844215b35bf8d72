"""What the rows are measured on: programs with fresh data for each, and how long things take."""

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from load import wrk
from processes import ROOT, Program, Servers, Service, wait_until_quiet


class Writes(NamedTuple):
    """What is written to the bare disk, each piece synced by itself."""

    per_s: int
    size: int
    seconds: int


# As long as a write-ahead log of the engine becomes before it begins anew.
REUSED_AFTER = 40 << 20


class Plan:
    """How long and how much."""

    def __init__(self, quick):
        self.quick = quick
        self.warm_seconds, self.seconds, self.batch_seconds = (1, 3, 2) if quick else (2, 8, 5)
        self.connections = (64, 128) if quick else (1, 16, 64, 128, 256)
        self.broker_warm_seconds = 4 if quick else 12
        self.backlog = 50_000 if quick else 500_000
        self.light_seconds, self.half_seconds = (4, 4) if quick else (15, 20)
        self.half_warm_seconds = 2 if quick else 30
        self.small_writes = Writes(per_s=100, size=512, seconds=2 if quick else 8)
        # What the engine does with 15,000 logs a second, for as long as its row takes.
        self.group_commits = Writes(per_s=900, size=16 << 10, seconds=self.half_seconds)
        self.read_seconds = 2 if quick else 4
        self.kafka_seconds = 2 if quick else 4
        self.documents = self.backlog
        self.rows = 50_000 if quick else 500_000
        self.quiet_patience = 1 if quick else 3
        # A drain that takes longer is not waited for: the row says so.
        self.drain_patience = 3 if quick else 2.5


class Rig:
    """Starts what a row needs; one round uses one."""

    def __init__(self, folder, programs, plan, results, problems):
        self.folder, self.programs, self.plan = folder, programs, plan
        self.results, self.problems = results, problems
        self.numbers = itertools.count(1)
        self.servers = self.no_servers = None
        self.others = []

    # --- what is measured

    def bare(self):
        return Program([self.programs["bare_handler"]], self.fresh_folder())

    def embedded(self, folder=None):
        return self.service(folder or self.fresh_folder())

    def on_servers(self, role, data=None):
        """A service on Kafka, and on MongoDB but for the role api; `data` is a `fresh_data` that is there already."""
        environment = {**(data or self.fresh_data()), "ROLE": role}
        if role == "api":
            del environment["MONGO_URI"]
        return self.service(self.fresh_folder(), environment)

    def service(self, folder, environment=()):
        return Service(self.programs["eyego"], folder, environment)

    def fresh_folder(self):
        folder = self.folder / f"{next(self.numbers)}"
        folder.mkdir(parents=True)
        return folder

    def fresh_data(self):
        """A topic and a database that nobody has used."""
        if not self.servers:
            self.start_servers()
        name = f"bench-{next(self.numbers)}"
        addresses = self.servers.addresses
        return {
            "KAFKA_BROKERS": addresses["KAFKA_BROKERS"],
            "MONGO_URI": addresses["MONGO_URI"].replace("/?", f"/{name}?"),
            "KAFKA_TOPIC": name,
            "KAFKA_CONSUMER_GROUP": name,
        }

    def start_servers(self):
        """Once; what failed is not tried again for every row."""
        if self.no_servers:
            raise RuntimeError(self.no_servers)
        try:
            self.servers = Servers(self.folder / "servers")
        except subprocess.CalledProcessError as error:
            self.no_servers = f"Kafka and MongoDB could not be started (exit code {error.returncode})"
            raise RuntimeError(self.no_servers) from error
        self.warm_up()

    def warm_up(self):
        """Kafka translates itself into machine code while it works: its first seconds are no measure."""
        with self.on_servers("all") as service:
            wrk(service, 64, self.plan.broker_warm_seconds)
            self.wait_until_stored(service, self.plan.broker_warm_seconds)
        self.remove(service.folder)

    def remove(self, folder):
        shutil.rmtree(folder, ignore_errors=True)

    def close(self):
        if self.servers:
            self.servers.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- how it is measured

    def note(self, row, value):
        self.results[row] = value
        print(f"  {row:44} {value:14,.2f}", flush=True)

    def trouble(self, text):
        self.problems.append(text)
        print(f"  ! {text}", flush=True)

    def settle(self):
        wait_until_quiet(self.plan.quiet_patience)

    def load(self, target, connections, seconds=None, **options):
        """A warm load, then one that counts."""
        beside = self.servers.pids() if self.servers else []
        self.settle()
        self.warm(target, connections, **options)
        load = wrk(target, connections, seconds or self.plan.seconds, beside=beside, **options)
        self.others.append(load.others)
        return load

    def warm(self, target, connections, **options):
        wrk(target, connections, self.plan.warm_seconds, **options)

    def fsyncs(self, writes):
        """Percentiles of the time that these writes take to be on the disk, from when each is due, in ms."""
        folder, data = self.fresh_folder(), bytes(writes.size)
        with open(folder / "data", "wb", buffering=0) as file:
            begun, count = time.perf_counter(), writes.per_s * writes.seconds
            took = sorted(fsync_at(file, data, begun + number / writes.per_s) for number in range(count))
        self.remove(folder)
        return {f"p{share}_ms": took[min(count - 1, count * share // 100)] for share in (50, 99)}

    def ceilings(self, *arguments):
        """Runs `ceilings` and returns the best figure, if it prints any."""
        command = [self.programs["ceilings"], *map(str, arguments)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=self.folder).stdout
        lines = [json.loads(line) for line in output.splitlines()]
        for line in lines:
            if "variant" in line:
                print(f"    {line['variant']:42} {line['per_s']:14,.0f}", flush=True)
        return lines[-1]["best_per_s"] if lines else None

    def wait_until_stored(self, service, seconds):
        """How long it takes until nothing is pending; infinity after `drain_patience` times the seconds."""
        begun = time.monotonic()
        ledger = service.wait_until_stored(seconds * self.plan.drain_patience)
        if ledger is None:
            return float("inf")
        if ledger["stored"] != ledger["accepted"]:
            self.trouble(f"of {ledger['accepted']} logs {ledger['stored']} are stored")
        return time.monotonic() - begun


def fsync_at(file, data, due):
    time.sleep(max(0, due - time.perf_counter()))
    if file.tell() >= REUSED_AFTER:
        file.seek(0)
    file.write(data)
    os.fdatasync(file.fileno())
    return (time.perf_counter() - due) * 1000


def run_folder():
    """On the disk of the repository: a file system in memory would flatter."""
    folder = ROOT / "target/compare"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(folder)


def chosen(pattern, groups):
    return [group for group in groups if re.search(pattern, group[0])]
