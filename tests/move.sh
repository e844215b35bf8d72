#!/usr/bin/env bash
# Moves a store: made-up logs into a data folder, out of it, into MongoDB, out of that. Every file has to be the same.
#   tests/move.sh BINARY [LOGS]      with MONGO_URI, whose database has to be empty; LOGS is 1,000,000 unless given
# Prints how long each step took and how much memory it needed. WORK is where the files go, a temporary folder unless set.
set -euo pipefail

binary=$(realpath "${1:?the eyego binary}")
logs=${2:-1000000}
: "${MONGO_URI:?where MongoDB is, with a database of its own}"
work=${WORK:-$(mktemp -d)}
[[ -n ${WORK:-} ]] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work/run"

# step NAME COMMAND...: apart from the caller's environment and settings.
step() {
    local name=$1 before after
    shift
    before=$EPOCHREALTIME
    (cd "$work/run" && exec env -i PATH="$PATH" python3 -c '
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"memory {used.ru_maxrss // 1024} MB, processor {used.ru_utime + used.ru_stime:.1f} s", end="", flush=True)
sys.exit(code)' "$@" 2>"$work/said" >"$work/used") || { cat "$work/said" "$work/used" >&2; exit 1; }
    after=$EPOCHREALTIME
    printf '%-28s %8.1f s, %s\n' "$name" "$(awk "BEGIN { print $after - $before }")" "$(tail -n 1 "$work/used")"
}

same() {
    cmp "$1" "$2" || { echo "$1 and $2 differ" >&2; exit 1; }
}

# Ids with gaps, texts and numbers of every kind.
awk -v logs="$logs" 'BEGIN {
    srand(7)
    for (n = 0; n < logs; n++) {
        printf "{\"id\":%d,\"eventId\":\"0196f1e2-%04x-7000-8000-%012x\",\"userId\":\"user%d\",\"action\":\"%s\",", \
            n * 2 + 3, n % 65536, n, int(rand() * rand() * 100000), (n % 3 ? "auth.login" : "=view \\\"ü\\\"")
        printf "\"timestamp\":\"20%02d-%02d-%02dT%02d:%02d:%02d.%03dZ\",", \
            n % 60, n % 12 + 1, n % 28 + 1, n % 24, n % 60, (n * 7) % 60, n % 1000
        printf "\"metadata\":{\"ip\":\"10.0.%d.%d\",\"n\":%d,\"ratio\":%d.25,\"list\":[null,true,{\"$oid\":\"x\"}]},", \
            n % 256, (n * 3) % 256, n - 500, n % 10
        printf "\"receivedAt\":\"2025-05-21T12:%02d:%02d.%03dZ\"}\n", n % 60, (n * 7) % 60, (n * 3) % 1000
    }
}' >"$work/made.ndjson"

servers=(MONGO_URI="$MONGO_URI" KAFKA_BROKERS=127.0.0.1:1)
folder=(DATA_DIR="$work/data")
step 'import into a data folder' env "${folder[@]}" "$binary" import "$work/made.ndjson"
step 'export of the data folder' env "${folder[@]}" "$binary" export --output "$work/one.ndjson"
same "$work/made.ndjson" "$work/one.ndjson"
step 'import into MongoDB' env "${servers[@]}" "$binary" import "$work/one.ndjson"
step 'export of MongoDB' env "${servers[@]}" "$binary" export --output "$work/two.ndjson"
same "$work/one.ndjson" "$work/two.ndjson"
step 'import into MongoDB again' env "${servers[@]}" "$binary" import "$work/two.ndjson"
step 'export of MongoDB, packed' env "${servers[@]}" "$binary" export --output "$work/three.ndjson.zst"
step 'import of that, into a folder' env DATA_DIR="$work/other" "$binary" import "$work/three.ndjson.zst"
step 'export of that folder' env DATA_DIR="$work/other" "$binary" export --output "$work/four.ndjson"
same "$work/two.ndjson" "$work/four.ndjson"
step 'verification of the folder' env DATA_DIR="$work/other" "$binary" verify
echo "$logs logs moved, all files identical"
