"""The programs under measurement: built, and copied to where no other build can replace them half-way."""

import json
import os
import shutil
import subprocess

from processes import ROOT


def build(folder):
    """Paths by name. The service by itself: the benches' dependencies switch on features that it is not shipped with."""
    programs = {}
    for targets in (["--bench", "bare_handler", "--bench", "ceilings", "--bench", "archive"], ["--bin", "eyego"]):
        command = [*os.environ.get("NICE", "").split(), "cargo", "build", "--release", "--locked", *targets]
        command.append("--message-format=json-render-diagnostics")
        output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in output.splitlines():
            built = json.loads(line)
            name = built.get("target", {}).get("name")
            if built.get("executable") and name not in programs:
                programs[name] = shutil.copy2(built["executable"], folder / name)
        if targets[0] == "--bench":
            programs.pop("eyego", None)
    return programs
