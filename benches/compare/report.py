"""From the rounds' results to the table: which figure stands against which, and what is asked of it."""

import os
from statistics import median

from processes import ROOT

DOCUMENT = ROOT / "docs/PERFORMANCE.md"
# What the bare handler did where the targets were set that are no ratios.
REFERENCE, REFERENCE_RATE = "post.bare@64", 81_000
BEGIN, END = "<!-- written by benches/compare.sh from here", "<!-- to here -->"


class Row:
    """A figure of ours; beside it, maybe, a yardstick of the same round and a target for either."""

    def __init__(self, title, unit, ours, yardstick=None, ratio=None, at_least=None, at_most=None, scaled=None):
        self.title, self.unit, self.ours, self.yardstick = title, unit, ours, yardstick
        # What is proportional to the machine's speed, `per_s` or `each`, is held against its target as if it had been
        # measured on the machine of the target.
        self.scaled = scaled
        # The least ratio; the least or the most of our own figure. With a ratio and a least one of them is enough.
        self.ratio, self.at_least, self.at_most = ratio, at_least, at_most

    def cells(self, rounds):
        ours = self.values(rounds, self.ours)
        if not ours:
            return [self.title, self.unit, "n/a", "", "", self.target(), "n/a"]
        both = [(self.value(one, self.ours), one.get(self.yardstick)) for one in rounds]
        ratios = [mine / theirs for mine, theirs in both if mine is not None and theirs]
        yardstick = number(median(self.values(rounds, self.yardstick))) if ratios else ""
        ours_text = spread(ours) if not ratios else number(median(ours))
        ratio_text = spread(ratios) if ratios else ""
        there = self.there(rounds) if self.scaled else ours
        if there != ours:
            ours_text = f"{number(median(ours))}; there {spread(there)}"
        return [self.title, self.unit, ours_text, yardstick, ratio_text, self.target(), self.verdict(there, ratios)]

    def there(self, rounds):
        """Our figures as they would be where the bare handler is as fast as where the targets were set."""
        found = [(self.value(one, self.ours), one.get(REFERENCE)) for one in rounds]
        speeds = [(value, rate / REFERENCE_RATE) for value, rate in found if value is not None and rate]
        if len(speeds) < len(found):
            return self.values(rounds, self.ours)
        return [value / speed if self.scaled == "per_s" else value * speed for value, speed in speeds]

    def value(self, results, name):
        """The name is that of one figure, or the start of several of which the largest counts."""
        if name and name.endswith("*"):
            start, end = name[:-1].split("…")
            found = [value for key, value in results.items() if key.startswith(start) and key.endswith(end)]
            return max(found, default=None)
        return results.get(name)

    def values(self, rounds, name):
        found = [self.value(one, name) for one in rounds]
        return [value for value in found if value is not None]

    def target(self):
        wanted = []
        if self.ratio is not None:
            wanted.append(f"≥ {self.ratio:g} of it")
        if self.at_least is not None:
            wanted.append(f"≥ {number(self.at_least)}")
        if self.at_most is not None:
            wanted.append(f"≤ {number(self.at_most)}")
        return " or ".join(wanted)

    def verdict(self, ours, ratios):
        held = []
        if self.ratio is not None:
            if not ratios and self.at_least is None:
                return "n/a"
            held.append(bool(ratios) and median(ratios) >= self.ratio)
        if self.at_least is not None:
            held.append(median(ours) >= self.at_least)
        if self.at_most is not None:
            held.append(median(ours) <= self.at_most)
        if not held:
            return ""
        return "holds" if any(held) else "**misses**"


def number(value):
    if value == float("inf"):
        return "not in time"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.2g}"


def spread(values):
    middle = number(median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def posts():
    targets = {("embedded", 128): 0.40, ("kafka-api", 64): 0.36, ("kafka-all", 64): 0.24}
    titles = {"embedded": "embedded, drain on", "kafka-api": "Kafka, `ROLE=api`", "kafka-all": "Kafka, `ROLE=all`"}
    for name, title in titles.items():
        for connections in (1, 16, 64, 128, 256):
            ours, bare = f"post.{name}@{connections}", f"post.bare@{connections}"
            text = f"POST, {title}, {connections} connection{'s' if connections > 1 else ''}"
            yield Row(text, "logs/s", ours, bare, ratio=targets.get((name, connections)))
            if (name, connections) in (("embedded", 128), ("kafka-all", 64)):
                until = "– until all of it is stored, per length of the load"
                yield Row(until, "", f"{ours}.drain_per_load", at_most=1)


def batches():
    yield Row("batch of 100, embedded", "logs/s", "batch.embedded@100", "ceiling.sqlite-queue")
    yield Row("batch of 1,000, embedded", "logs/s", "batch.embedded@1000", "ceiling.sqlite-queue", 0.7, 250_000, scaled="per_s")
    yield Row("– share of it that is stored meanwhile", "", "batch.embedded@1000.stored_share", at_least=0.1)
    yield Row("batch of 100, Kafka", "logs/s", "batch.kafka@100", "ceiling.kafka")
    yield Row("batch of 1,000, Kafka", "logs/s", "batch.kafka@1000", "ceiling.kafka", 0.5)


def drains():
    yield Row("drain, embedded", "logs/s", "drain.embedded", "ceiling.sqlite-logs", 0.7)
    yield Row("drain, Kafka to MongoDB", "logs/s", "drain.kafka", "ceiling.mongo", 0.7)


def latencies():
    yield from beside_disk("readable after the 202, 100/s, embedded", "light.embedded", "readable", None, 20)
    yield from beside_disk("readable after the 202, 100/s, Kafka and MongoDB", "light.kafka", "readable", 15, 50)
    yield from beside_disk("POST at half of the target's rate, embedded", "half.embedded", "", None, 8)
    yield Row("– the rate", "logs/s", "half.embedded.rate")
    yield from beside_disk("POST at half of the target's rate, Kafka, `ROLE=api`", "half.kafka", "", None, 10)
    yield Row("– the rate", "logs/s", "half.kafka.rate")


def beside_disk(title, row, what, p50_target, p99_target):
    """A latency, and what the bare disk took just before."""
    prefix = f"{row}.{what}_" if what else f"{row}."
    yield Row(f"{title}, p50", "ms", f"{prefix}p50_ms", f"{row}.fsync_p50_ms", at_most=p50_target)
    yield Row("– p99", "ms", f"{prefix}p99_ms", f"{row}.fsync_p99_ms", at_most=p99_target)


def costs():
    yield Row("processor time, POST, Kafka, `ROLE=api`, 64 connections", "µs/log", "post.kafka-api@64.cpu_us", at_most=25, scaled="each")
    yield Row("processor time, batch of 1,000, Kafka", "µs/log", "batch.kafka@1000.cpu_us", at_most=5, scaled="each")
    yield Row("processor time, drain, Kafka to MongoDB", "µs/log", "drain.kafka.cpu_us", at_most=8, scaled="each")
    yield Row("processor time, POST and drain, embedded, 128 connections", "µs/log", "post.embedded@128.cpu_us")
    yield Row("processor time, drain, embedded", "µs/log", "drain.embedded.cpu_us")
    yield Row("peak memory, embedded, of all POST rows", "MB", "post.embedded…rss_mb*", at_most=150)
    yield Row("– of the batch rows", "MB", "batch.embedded…rss_mb*", at_most=150)
    yield Row("– of the drain", "MB", "drain.embedded…rss_mb*", at_most=150)
    yield Row("peak memory, Kafka and MongoDB, of all POST rows", "MB", "post.kafka…rss_mb*", at_most=150)
    yield Row("– of the batch rows", "MB", "batch.kafka…rss_mb*", at_most=150)
    yield Row("– of the drain", "MB", "drain.kafka…rss_mb*", at_most=150)


def all_rows():
    rows = [*posts(), *batches(), *drains(), *latencies(), *costs()]
    return [*rows, Row("`eyego bench` on the bare handler, held against wrk", "requests/s", "tool.bench", "tool.wrk", 0.9)]


def table(rounds):
    header = ["what", "unit", "ours", "yardstick", "ratio", "target", ""]
    return lines(header, 2, [row.cells(rounds) for row in all_rows()])


def lines(header, texts, rows):
    """A table whose first columns are texts."""
    kinds = ["---" if at < texts or not title or title == "target" else "---:" for at, title in enumerate(header)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, kinds, *rows])


def reads(rounds):
    """Reads have no yardstick."""
    rows = []
    for name, title in (("embedded", "embedded"), ("kafka", "MongoDB")):
        for kind in ("first page", "deep page", "by id", "filtered"):
            row = f"read.{name}.{kind}"
            found = [[one[figure] for one in rounds if figure in one] for figure in (row, f"{row}.p50_ms", f"{row}.p99_ms")]
            rows.append([f"{title}, {kind}", *(spread(values) if values else "n/a" for values in found)])
    return lines(["read, 16 connections", "requests/s", "p50, ms", "p99, ms"], 1, rows)


def yardsticks(rounds):
    """The yardsticks themselves, for those who want to know what machine it was."""
    titles = {f"post.bare@{connections}": f"bare handler, {connections}" for connections in (1, 16, 64, 128, 256)}
    titles |= {"ceiling.kafka": "librdkafka producer", "ceiling.mongo": "`insert_many`"}
    titles |= {"ceiling.sqlite-queue": "SQLite, `queue.db`", "ceiling.sqlite-logs": "SQLite, `logs.db`"}
    found = {title: [one[name] for one in rounds if name in one] for name, title in titles.items()}
    return lines(["yardstick", "per second"], 1, [[title, spread(values)] for title, values in found.items() if values])


def facts(kept):
    rounds, others = kept["rounds"], kept["others"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = [
        f"{len(rounds)} interleaved rounds, {os.cpu_count()} cores, {memory:.0f} GB of memory, everything on the same machine: load, "
        "service, Kafka and MongoDB. Release build.",
    ]
    if kept["quick"]:
        text.append("**A quick run: short rows and small backlogs. Its figures mean little.**")
    if others:
        text.append(
            f"What else ran on the machine took {median(others):.2f} of a core (median of the load rows, at most "
            f"{max(others):.2f})."
        )
    text += [f"**Trouble:** {problem}." for problem in kept["problems"]]
    return "\n\n".join(text)


def whole(kept):
    rounds = kept["rounds"]
    return "\n\n".join([facts(kept), table(rounds), reads(rounds), yardsticks(rounds)])


def write(kept):
    """Prints the table, and puts it between the marks of the document."""
    text = whole(kept)
    print(f"\n{text}")
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN, 1)
    mark, rest = rest.split("\n", 1)
    after = rest.split(END, 1)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}{mark}\n\n{text}\n\n{END}{after}")
