"""The comparison: see benches/compare.sh."""

import json
import os
import shutil
import signal
import sys
import time
import traceback

import report
from build import build
from groups import groups
from rig import Plan, Rig, chosen, run_folder


def rounds(plan, only, count):
    """Results are written after every group, so that a run that is cut off was not for nothing."""
    folder = run_folder()
    programs = build(fresh(folder / "programs"))
    begun = time.monotonic()
    kept = {"quick": plan.quick, "rounds": [], "problems": [], "others": []}
    for number in range(1, count + 1):
        results = {}
        kept["rounds"].append(results)
        rig = Rig(fresh(folder / "work"), programs, plan, results, kept["problems"])
        rig.others = kept["others"]
        try:
            for name, group in chosen(only, groups(plan)):
                print(f"round {number} of {count}: {name}", flush=True)
                attempt(rig, name, group)
                (folder / "results.json").write_text(json.dumps(kept, indent=1))
        finally:
            rig.close()
    print(f"took {(time.monotonic() - begun) / 60:.1f} minutes")
    return kept


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def attempt(rig, name, group):
    """What cannot be measured is a hole in the table, not the end of the run."""
    try:
        group(rig)
    except Exception as error:
        traceback.print_exc()
        rig.trouble(f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


def main():
    # An end by signal must still end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "FROM" in os.environ:
        with open(os.environ["FROM"], encoding="utf-8") as file:
            report.write(json.load(file))
        return
    plan = Plan(quick=os.environ.get("QUICK", "0") not in ("", "0"))
    only = os.environ.get("ONLY", "")
    if "LIST" in os.environ:
        print("\n".join(name for name, _ in chosen(only, groups(plan))))
        return
    count = int(os.environ.get("ROUNDS", "1" if plan.quick else "3"))
    kept = rounds(plan, only, count)
    if only or plan.quick:
        print("\n" + report.whole(kept))
    else:
        report.write(kept)


main()
