"""The table: what was asked for, how long it took, and whether that is within the target."""

from processes import ROOT
from questions import questions

BEGIN, END = "<!-- benches/queries.sh writes from here -->", "<!-- to here -->"
NAMES = {"mongo": "MongoDB", "embedded": "embedded"}


def verdict(holds):
    return "" if holds is None else "holds" if holds else "**misses**"


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def rows(results):
    """Question, backend, figure, target, verdict."""
    for index, backend in enumerate(("mongo", "embedded")):
        found = results[backend]
        if not found:
            continue
        name = NAMES[backend]
        for question, _, targets in questions():
            if question in found:
                p50, p99, target = found[question]["p50"], found[question]["p99"], targets[index]
                limit = f"≤ {target} ms" if target else ""
                holds = None if target is None else p50 <= target
                yield question, name, f"{p50:.2f} / {p99:.2f} ms", limit, verdict(holds)
        if "deep" in found:
            first, deep = found["first page by id"]["p50"], found["deep"]["p50"]
            text = f"{deep:.2f} ms, {deep / first:.2f} × the first page"
            yield "page a million deep by cursor", name, text, "≤ 1.5 ×", verdict(deep <= 1.5 * first)
        yield from ratio(found, name, "export against reading raw", "export, rows/s", "raw reading, rows/s", 0.6)
        if "memory of an export, MB" in found:
            grown = found["memory of an export, MB"]
            yield "memory that an export takes on top", name, f"{grown:.0f} MB", "< 20 MB", verdict(grown < 20)
        if "erasure, s" in found:
            took = found["erasure, s"]
            yield f"erasure of {found['erased logs']:,} logs", name, f"{took:.1f} s", "≤ 60 s", verdict(took <= 60)
        during, without = "intake during an erasure, logs/s", "intake without an erasure, logs/s"
        yield from ratio(found, name, "intake during an erasure against without", during, without, 0.8)
        least = 0.5 if backend == "mongo" else 0.6
        bare, full = "write, without indexes, logs/s", "write, with indexes, logs/s"
        yield from ratio(found, name, "writing with the indexes of filters against without", full, bare, least)
        backfill = "write, backfill of ninety days, logs/s"
        yield from ratio(found, name, "the same for a backfill of ninety days", backfill, bare, None)
        if "original's first page, ms" in found:
            times = found["original's first page, ms"] / found["first page of a million, ms"]
            text = f"{found['first page of a million, ms']:.2f} ms, {times:,.0f} × as fast"
            yield "first page of a million against the original's", name, text, "≥ 100 ×", verdict(times >= 100)


def ratio(found, name, row, one, other, least):
    if one in found and other in found:
        share = found[one] / found[other]
        text = f"{figure(found[one])} of {figure(found[other])}/s = {share:.2f}"
        yield row, name, text, f"≥ {least}" if least else "", verdict(None if least is None else share >= least)


def table(results):
    lines = [
        f"{results['logs']:,} logs; writing was measured with {results['written']:,}. Medians, and 99th percentiles behind the stroke.",
        "",
        "| what | backend | measured | target | |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows(results)),
        "",
        *(
            f"A bare round trip through the same client: {results[backend]['bare round trip, ms']:.2f} ms ({NAMES[backend]})."
            for backend in NAMES
            if "bare round trip, ms" in results[backend]
        ),
    ]
    return "\n".join(lines)


def write(results, keep):
    text = table(results)
    print("\n" + text)
    if keep:
        path = ROOT / "docs/QUERIES.md"
        document = path.read_text(encoding="utf-8")
        before, rest = document.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
