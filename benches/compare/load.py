"""Loads: wrk for throughput, `eyego bench` for latencies at a given rate, and a backlog that is drained."""

import json
import subprocess
import time

from processes import ROOT, cpu_seconds, machine_busy_seconds, own_seconds, peak_rss_mb

SCRIPTS = ROOT / "benches"


class Load:
    """What one load found, and what it cost the process that took it."""

    def __init__(self, found, logs_per_request, cpu, rss, others):
        self.found = found
        self.seconds = found["seconds"]
        self.requests = found["requests"]
        self.logs = found["requests"] * logs_per_request
        self.requests_per_s = found["requests"] / found["seconds"]
        self.logs_per_s = self.requests_per_s * logs_per_request
        self.cpu_us_per_log = cpu / max(self.logs, 1) * 1e6
        self.rss_mb = rss
        self.others = others
        self.failures = found["failed"] + found["broken"]


def wrk(target, connections, seconds, arguments=(), script="wrk.lua", logs_per_request=1, beside=()):
    """Runs wrk against a program. `beside` are other processes of the measurement, which are no disturbance."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s"]
    command += [str(SCRIPTS / script), target.url]
    if arguments:
        command += ["--", *map(str, arguments)]
    ours = lambda: cpu_seconds(target.pid) + sum(map(cpu_seconds, beside)) + own_seconds()
    cpu, all_before, ours_before, begun = cpu_seconds(target.pid), machine_busy_seconds(), ours(), time.monotonic()
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    cpu = cpu_seconds(target.pid) - cpu
    others = (machine_busy_seconds() - all_before) - (ours() - ours_before)
    found = json.loads(output.splitlines()[-1])
    return Load(found, logs_per_request, cpu, peak_rss_mb(target.pid), others / (time.monotonic() - begun))


def eyego_bench(program, url, *options):
    """The report of `eyego bench`, or None where the binary has no such command."""
    command = [str(program), "bench", "--url", url, "--json", *map(str, options)]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd="/", env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def until_next_look(first, stored, now, count):
    """Seldom, because the service works for each answer, but often where something is about to be reached."""
    often = 0.1 if count >= 500_000 else 0.02
    if first is None or stored <= first[0]:
        return often
    left = (count - stored) * (now - first[1]) / (stored - first[0])
    return max(often / 5, min(1, left / 2))


def drain(service, count):
    """Logs stored per second and processor time per log, from a fifth to the last, and the peak of the memory."""
    first, deadline = None, time.monotonic() + 60 + count / 2_000
    while True:
        ledger, now, cpu = service.ledger(), time.monotonic(), cpu_seconds(service.pid)
        stored = ledger["stored"] if ledger else 0
        if first is None and stored >= count / 5:
            first = (stored, now, cpu)
        if stored >= count:
            break
        if now > deadline:
            raise RuntimeError(f"only {stored} of {count} logs were drained")
        time.sleep(until_next_look(first, stored, now, count))
    logs = stored - first[0]
    if logs < count / 4:
        raise RuntimeError("the drain was over before it could be measured")
    return logs / (now - first[1]), (cpu - first[2]) / logs * 1e6, peak_rss_mb(service.pid)
