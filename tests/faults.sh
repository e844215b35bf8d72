#!/usr/bin/env bash
# The whole fault suite, on real servers of its own: tests/faults/ says what it does. Under 40 minutes on two cores.
#
#   tests/faults.sh                  everything
#   tests/faults.sh mongo kafka-away those scenarios whose names contain one of the words
#
# The release build is tested, because bounds on times are held; EYEGO_BINARY names another binary.
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
    # shellcheck source=tests/servers.sh
    (. tests/servers.sh && apt_install faketime)
fi
if [[ -z ${EYEGO_BINARY:-} ]]; then
    cargo build --locked --release 8>&-
    EYEGO_BINARY=$root/${CARGO_TARGET_DIR:-target}/release/eyego
    [[ ${CARGO_TARGET_DIR:-} != /* ]] || EYEGO_BINARY=$CARGO_TARGET_DIR/release/eyego
fi
export EYEGO_BINARY
if (($#)); then FAULTS=$(IFS=,; echo "$*"); fi
cargo test --locked --test faults 8>&- # the servers must not keep the lock
