#!/usr/bin/env bash
# Compares a running service with its own /openapi.json: schemathesis makes up requests, right and wrong, and runs all its
# checks on the answers. tests/schemathesis.toml and tests/schemathesis_hooks.py hold the exceptions, each with its reason.
#
#   tests/schemathesis.sh [URL [SECONDS]]        default http://127.0.0.1:3000, 60 s
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url=${1:-http://127.0.0.1:3000}
seconds=${2:-60}
tools=$here/../target/tools/schemathesis
package=schemathesis==4.32.5

if [[ $("$tools/bin/pip" freeze 2>/dev/null) != *"$package"* ]]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install -q "$package"
fi
cd "$tools" # it keeps files of its own in the working directory
export SCHEMATHESIS_HOOKS=$here/schemathesis_hooks.py
exec "$tools/bin/schemathesis" --config-file "$here/schemathesis.toml" run "${url%/}/openapi.json" --max-time "$seconds"
