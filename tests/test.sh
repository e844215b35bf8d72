#!/usr/bin/env bash
# Every test, on real servers: those of KAFKA_BROKERS and MONGO_URI if both are set, else tests/servers.sh starts some.
# Without servers the embedded part is tested; with REQUIRE_SERVICES=1 that is a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=eyego.sh
. tests/eyego.sh
binary=$PWD/${CARGO_TARGET_DIR:-target}/debug/eyego
[[ ${CARGO_TARGET_DIR:-} != /* ]] || binary=$CARGO_TARGET_DIR/debug/eyego
work=$(mktemp -d)
run=test_$(date +%s)_$$
total=0
services='' started='' EYEGO_PID=''

cleanup() {
    [[ -z $EYEGO_PID ]] || kill -KILL "$EYEGO_PID" 2>/dev/null || true
    [[ -z $started ]] || tests/servers.sh down
    rm -rf "$work"
}
trap cleanup EXIT

title() { printf '\n=== %s\n' "$*"; }

# counted COMMAND...: shows its output and adds the "N passed" of its lines to the total.
counted() {
    local n
    "$@" 2>&1 | tee "$work/output" || return
    while read -r n; do
        total=$((total + n))
    done < <(sed -nE 's/^(test result: ok\. )?([0-9]+) passed[,;].*/\2/p' "$work/output")
}

title servers
if [[ -n ${KAFKA_BROKERS:-} && -n ${MONGO_URI:-} ]]; then
    echo "using $KAFKA_BROKERS and the given MONGO_URI"
    services=1
else
    unset KAFKA_BROKERS MONGO_URI
    # Servers that were running before this script are used and left running.
    tests/servers.sh env >/dev/null 2>&1 || started=1
    if tests/servers.sh up >"$work/env"; then
        # shellcheck source=/dev/null
        . "$work/env"
        export KAFKA_BROKERS MONGO_URI
        cat "$work/env"
        services=1
    elif [[ ${REQUIRE_SERVICES:-} == 1 ]]; then
        echo 'no Kafka and MongoDB, and REQUIRE_SERVICES=1' >&2
        exit 1
    else
        echo 'no Kafka and MongoDB (see above): testing the embedded part alone'
    fi
fi

title 'cargo test'
cargo build --locked
counted cargo test --locked

if [[ -n $services ]]; then
    title 'taking over from the old service, and back'
    if [[ ${REQUIRE_SERVICES:-} == 1 ]]; then
        counted tests/takeover/run.sh "$binary"
    else
        code=0
        counted tests/takeover/run.sh "$binary" || code=$?
        # 3: Node.js cannot be had; what to run is named.
        [[ $code == 0 || $code == 3 ]] || exit "$code"
    fi
fi

# api_series NAME [VARIABLE=VALUE...]: tests/api.sh against the binary, which then has to end well on SIGTERM.
api_series() {
    title "API series: $1"
    start_eyego "$work/$1" "$binary" "${@:2}"
    eventually 60 ready || { curl -sS "$EYEGO_URL/readyz" && exit 1; }
    counted tests/api.sh "$EYEGO_URL"
    stop_eyego
}

api_series embedded DATA_DIR="$work/data"
if [[ -n $services ]]; then
    api_series kafka-and-mongodb KAFKA_BROKERS="$KAFKA_BROKERS" MONGO_URI="$(in_database "$run")" \
        KAFKA_TOPIC="$run" KAFKA_CONSUMER_GROUP="$run"
fi

title 'all of it'
[[ -n $services ]] || echo 'embedded part only: Kafka and MongoDB were not tested'
printf '%s passed, 0 failed\n' "$total"
