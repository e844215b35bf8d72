"""Processes under measurement: starting and ending them, and what the kernel says of them."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_rss_mb(pid):
    return memory_mb(pid, "VmHWM")


def rss_mb(pid):
    return memory_mb(pid, "VmRSS")


def memory_mb(pid, field):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) * 1024 / 1e6


def forget_peak(pid):
    """From now on the peak is that of the time to come."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def machine_busy_seconds():
    """What all processors together have worked since the start of the machine, or were kept from by other machines."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICKS


def own_seconds():
    """This script and everything it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Program:
    """A program that prints its address in its first line."""

    def __init__(self, command, folder, environment=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.errors = folder / "stderr"
        with self.errors.open("ab") as errors:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", **dict(environment)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.pid = self.child.pid
        greeting = self.child.stdout.readline()
        found = re.search(r"http://[0-9.:]+", greeting)
        if not found:
            self.end()
            raise RuntimeError(f"{command[0]} did not start: {greeting}{self.last_words()}")
        self.url = found[0]

    def last_words(self):
        return self.errors.read_text(errors="replace")[-2000:]

    def end(self):
        """Asks it to end, and makes it."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Service(Program):
    """`eyego serve`, ready."""

    def __init__(self, program, folder, environment=()):
        base = {"PORT": "0", "DATA_DIR": str(folder / "data"), "LOG_LEVEL": "warn"}
        super().__init__([program, "serve"], folder, {**base, **dict(environment)})
        try:
            self.wait_until_ready()
        except BaseException:
            self.end()
            raise

    def wait_until_ready(self, patience=60):
        deadline = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=5):
                    return
            except urllib.error.HTTPError as answer:
                problem = answer.read().decode(errors="replace")
            except OSError as error:
                problem = str(error)
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service is not ready: {problem} {self.last_words()}")
            time.sleep(0.02)

    def ledger(self):
        """The sum over all partitions, or None while it cannot be told."""
        try:
            with urllib.request.urlopen(self.url + "/api/ledger", timeout=10) as answer:
                return json.load(answer)["total"]
        except (OSError, ValueError, KeyError):
            return None

    def wait_until_stored(self, patience):
        """The ledger once nothing is pending; None where that takes longer than so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            ledger = self.ledger()
            if ledger and ledger["pending"] == 0:
                return ledger
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)

    def taken(self):
        """How many logs the bus has acknowledged to this process."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            found = re.search(r'^eyego_published_total\{outcome="taken"\} (\d+)', answer.read().decode(), re.MULTILINE)
        return int(found[1]) if found else 0

    def has(self, path):
        """Whether the route exists: an empty body is refused by it, not unknown to it."""
        request = urllib.request.Request(self.url + path, data=b"[]", headers={"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError as answer:
            return answer.code not in (404, 405)


class Servers:
    """Kafka and MongoDB in a run folder of their own, started by tests/servers.sh."""

    def __init__(self, folder):
        # What was fetched for the tests is used again.
        self.environment = {**os.environ, "EYEGO_TEST_RUN": str(folder)}
        self.folder = folder
        try:
            printed = self.run("up")
        except BaseException:
            self.end()
            raise
        self.addresses = dict(re.findall(r"export (\w+)='(.*)'", printed))

    def run(self, word):
        script = ROOT / "tests/servers.sh"
        return subprocess.run([script, word], env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def pids(self):
        return [int(file.read_text()) for file in self.folder.glob("*/pid")]

    def end(self):
        self.run("down")


def wait_until_quiet(patience):
    """Waits until the machine does little: what came before may still be written back."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = machine_busy_seconds()
        time.sleep(0.4)
        if machine_busy_seconds() - before < 0.1:
            return
