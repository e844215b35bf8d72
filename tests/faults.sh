#!/usr/bin/env bash
# The whole fault suite, on real servers of its own: tests/faults/ says what it does. Under 40 minutes on two cores.
#
#   tests/faults.sh                  everything
#   tests/faults.sh mongo kafka-away those scenarios whose names contain one of the words
#
# EYEGO_BINARY tests another binary than the one that cargo builds.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

FAULTS_RUN=$root/target/servers/faults
export FAULTS_RUN REQUIRE_SERVICES=1 FAULTS=${FAULTS:-all}

# end_all: what is left of this suite has its folder in its command line or as its working directory.
end_all() {
    local pid place
    for pid in /proc/[0-9]*; do
        place=$(tr '\0' ' ' 2>/dev/null <"$pid/cmdline") || continue
        place+=$(readlink "$pid/cwd" 2>/dev/null) || true
        [[ $place != *"$FAULTS_RUN/"* ]] || kill -KILL "${pid#/proc/}" 2>/dev/null || true
    done
    awk -v run="$FAULTS_RUN/" 'index($2, run) == 1 { print $2 }' /proc/mounts | xargs -r umount -l || true
}

mkdir -p "$root/target/servers"
exec 8>"$root/target/servers/faults.lock"
flock -n 8 || { echo 'the fault suite is running already' >&2; exit 1; }
trap end_all EXIT
end_all # of a run that was cut off
rm -rf "$FAULTS_RUN"

if ! command -v faketime >/dev/null; then
    # Only for its functions.
    # shellcheck source=servers.sh
    (. tests/servers.sh && apt_install faketime)
fi
cargo build --locked 8>&-
if (($#)); then FAULTS=$(IFS=,; echo "$*"); fi
cargo test --locked --test faults 8>&- # the servers must not keep the lock
