#!/usr/bin/env bash
# Walks the HTTP interface as a client does and asserts every answer; exit 1 on the first that is not as promised.
#
#   tests/api.sh [URL]        default http://127.0.0.1:3000
#
# Users and actions are new in every run, so it passes on a store that holds other logs too.
set -euo pipefail

URL=${1:-http://127.0.0.1:3000}
URL=${URL%/}
run=$(date +%s)-$$-$RANDOM
passed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ask METHOD PATH [CURL-ARGUMENT...]: leaves the answer in $status, $work/body and $work/head.
ask() {
    local method=$1 path=$2 how=(-X "$1" -o "$work/body")
    shift 2
    [[ $method != HEAD ]] || how=(--head -o /dev/null) # curl would write the head there, too
    asked="$method $path${*:+ $*}"
    : >"$work/body"
    status=$(curl -sS --max-time 40 -D "$work/head" -w '%{http_code}' "${how[@]}" "$@" "$URL$path") ||
        { echo "FAILED  no answer from $URL to $asked" && exit 1; }
}
post() { ask POST /api/logs -H 'content-type: application/json' -d "$1"; }

# What an expression may use: text, body (the JSON, if it is any), headers (lower-case names), and the functions below.
cat >"$work/judge.py" <<'PY'
import json, re, sys
from datetime import datetime, timezone

text = open(sys.argv[1] + "/body", encoding="utf-8").read()
head = open(sys.argv[1] + "/head", encoding="latin-1").read().split("\r\n\r\n")
lines = [part for part in head if part.strip()][-1].splitlines()[1:]
headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
try:
    body = json.loads(text)
except ValueError:
    body = None

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

def whole(value):
    return type(value) is int and value >= 0

def accepted():
    """A 202: the words of the original, an event id and where its receipt is."""
    return (body["message"] == "Log sent to Kafka for processing. It may take a moment to appear in the logs list."
            and re.fullmatch(UUID, body["eventId"]) is not None
            and headers["location"] == "/api/logs/events/" + body["eventId"])

def error(message=None):
    """An error body: message, code and perhaps error, nothing else."""
    return (set(body) in ({"message", "code"}, {"message", "code", "error"})
            and all(type(part) is str and part for part in body.values())
            and re.fullmatch("[a-z][a-z0-9_]*", body["code"]) is not None
            and headers["content-type"] == "application/json"
            and message in (None, body["message"]))

def log(found, **fields):
    """A log with exactly these fields, and a numeric id."""
    return found == dict(fields, id=found["id"]) and whole(found["id"])

def recent(timestamp):
    age = datetime.now(timezone.utc) - datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp) is not None and abs(age.total_seconds()) < 300

def page(total, number=1, limit=10):
    """A page with these figures, ids ascending."""
    ids = [entry["id"] for entry in body["logs"]]
    return ([body[key] for key in ("total", "page", "limit", "totalPages")] == [total, number, limit, -(-total // limit)]
            and ids == sorted(set(ids)) and len(ids) == max(0, min(limit, total - limit * (number - 1))))

def actions():
    return [entry["action"] for entry in body["logs"]]

def days():
    return [entry["timestamp"][:10] for entry in body["logs"]]

try:
    outcome = eval(sys.argv[2])
except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
    outcome = None
    print(f"  ({type(problem).__name__}: {problem})", file=sys.stderr)
if len(sys.argv) > 3:
    print(outcome)
sys.exit(0 if outcome is True or len(sys.argv) > 3 else 1)
PY

# expect NAME STATUS [EXPRESSION]: of the last answer.
expect() {
    if [[ $status != "$2" ]] || ! python3 "$work/judge.py" "$work" "${3:-True}"; then
        printf 'FAILED  %s\n  asked:    %s\n  expected: %s, %s\n  came:     %s\n' "$1" "$asked" "$2" "${3:-any body}" "$status"
        sed 's/^/            /' "$work/head" "$work/body"
        printf '\n%s passed, 1 failed\n' "$passed"
        exit 1
    fi
    passed=$((passed + 1))
    printf 'ok      %s\n' "$1"
}
value() { python3 "$work/judge.py" "$work" "$1" print; }

# store BODY: posts it and waits until the log can be read; leaves it as the last answer, and $event.
store() {
    post "$1"
    expect "create: 202 for $1" 202 'accepted()'
    event=$(value 'body["eventId"]')
    ask GET "/api/logs/events/$event?wait=10"
}

# --- is it there? -------------------------------------------------------------------------------------------------

ask GET /
expect 'greeting' 200 'text == "EyeGo User Activity Log Service is running."'
ask GET /health
expect 'health: both parts are up' 200 'body["mongo"] == "up" and body["kafka"] == "up"'
ask GET /livez
expect 'livez' 200
ask GET /readyz
expect 'readyz' 200
ask GET /openapi.json
expect 'OpenAPI document' 200 'body["openapi"].startswith("3.1") and "/api/logs" in body["paths"]'

# --- nothing yet --------------------------------------------------------------------------------------------------

user=user-$run
ask GET "/api/logs?userId=$user"
expect 'empty list' 200 'body["logs"] == [] and page(0)'
ask GET /api/logs/9007199254740991
expect 'get: unknown id is 404' 404 'error("Log not found")'
ask DELETE /api/logs/9007199254740991
expect 'delete: unknown id is 404' 404 'error("Log not found")'
ask GET /api/logs/events/00000000-0000-7000-8000-000000000000
expect 'receipt: unknown event is 404' 404 'error()'
ask GET /api/nothing
expect 'unknown path is 404' 404 'error()'
ask PUT /api/logs
expect 'wrong method is 405 and names the right ones' 405 'error() and {"GET", "POST"} <= set(headers["allow"].replace(" ", "").split(","))'

# --- create, list, get ------------------------------------------------------------------------------------------

store "{\"userId\":\"$user\",\"action\":\"login\",\"timestamp\":\"2025-05-21T12:34:56.789Z\",\"metadata\":{\"ip\":\"127.0.0.1\"}}"
whole="userId='$user', action='login', timestamp='2025-05-21T12:34:56.789Z', metadata={'ip': '127.0.0.1'}"
expect 'receipt: the log' 200 "log(body, $whole)"
id=$(value 'body["id"]')
ask GET "/api/logs/$id"
expect 'get: the log' 200 "log(body, $whole) and body['id'] == $id"
ask GET "/api/logs/$id/"
expect 'get: one trailing slash does not matter' 200 "log(body, $whole)"
ask HEAD "/api/logs/$id"
expect 'get: HEAD works' 200 'headers["content-type"] == "application/json"'
ask GET "/api/logs?userId=$user"
expect 'list: the log' 200 "page(1) and log(body['logs'][0], $whole)"

store "{\"userId\":\"$user\",\"action\":\"view\"}"
expect 'create: timestamp and metadata are filled in' 200 \
    "recent(body['timestamp']) and log(body, userId='$user', action='view', timestamp=body['timestamp'], metadata={})"
store "{\"userId\":\"$user\",\"action\":true,\"timestamp\":1747830896789,\"id\":5,\"colour\":\"red\",\"metadata\":null}"
expect 'create: casts, unknown fields dropped, milliseconds' 200 \
    "log(body, userId='$user', action='true', timestamp='2025-05-21T12:34:56.789Z', metadata={})"
store "{\"userId\":\"$user\",\"action\":\"odd\",\"timestamp\":\"2025-05-21T14:34:56+02:00\",\"metadata\":{\"\$oid\":\"x\",\"a.b\":{},\"z\":[1.0,9007199254740993]}}"
expect 'create: metadata comes back as it went in' 200 \
    "body['timestamp'] == '2025-05-21T12:34:56.000Z' and text.count('\"metadata\":{\"\$oid\":\"x\",\"a.b\":{},\"z\":[1.0,9007199254740993]}') == 1"

# --- refused ----------------------------------------------------------------------------------------------------

missing='error("Missing required fields: userId, action")'
for bad in '{}' '[]' '' '{"userId":"u"}' '{"action":"a"}' '{"userId":null,"action":"a"}'; do
    post "$bad"
    expect "create: 400 for '$bad'" 400 "$missing"
done
ask POST /api/logs
expect 'create: 400 for no body at all' 400 "$missing"
for bad in '{"userId":' '"text"' '{"userId":"","action":"a"}' '{"userId":["u"],"action":"a"}' '{"userId":"u","action":"a","metadata":[]}' \
    '{"userId":"u","action":"a","timestamp":"2025-02-30"}' '{"userId":"u","userId":"v","action":"a"}'; do
    post "$bad"
    expect "create: 400 for $bad" 400 'error()'
done
ask POST /api/logs -H 'content-type: text/plain' -d '{"userId":"u","action":"a"}'
expect 'create: 415 for another content type' 415 'error()'
for bad in abc 1.0 0x1 1e0 %20; do
    ask GET "/api/logs/$bad"
    expect "get: 400 for id $bad" 400 'error("Invalid log ID format")'
    ask DELETE "/api/logs/$bad"
    expect "delete: 400 for id $bad" 400 'error("Invalid log ID format")'
done
ask GET /api/logs/events/abc
expect 'receipt: 400 for what is no UUID' 400 'error()'
for bad in page=0 page=abc page=1\&page=2 limit=0 limit=1001 startDate=yesterday endDate=2025-13-01; do
    ask GET "/api/logs?$bad"
    expect "list: 400 for $bad" 400 'error()'
done

# --- delete -----------------------------------------------------------------------------------------------------

store "{\"userId\":\"$user\",\"action\":\"brief\"}"
expect 'delete: the log is there before' 200
id=$(value 'body["id"]')
ask DELETE "/api/logs/$id"
expect 'delete: 200' 200 'body["message"] == "Log deleted successfully"'
ask GET "/api/logs/$id"
expect 'delete: it is gone' 404 'error("Log not found")'
ask DELETE "/api/logs/$id"
expect 'delete: a second time is 404' 404 'error("Log not found")'
ask GET "/api/logs/events/$event"
expect 'delete: the receipt says so' 410 'error() and body["code"] == "log_deleted"'

# --- a key makes a retry safe -----------------------------------------------------------------------------------

keyed=(-H 'content-type: application/json' -H "idempotency-key: key-$run" -d "{\"userId\":\"keyed-$run\",\"action\":\"pay\"}")
ask POST /api/logs "${keyed[@]}"
expect 'key: first request' 202 'accepted()'
event=$(value 'body["eventId"]')
ask POST /api/logs "${keyed[@]}"
expect 'key: the repeat has the same event id' 202 "accepted() and body['eventId'] == '$event'"
store "{\"userId\":\"keyed-$run\",\"action\":\"after\"}"
expect 'key: a later log is stored' 200
ask GET "/api/logs/events/$event?wait=10"
expect 'key: the receipt is there' 200
ask GET "/api/logs?userId=keyed-$run&action=pay"
expect 'key: stored once' 200 'page(1)'

# --- many at once -----------------------------------------------------------------------------------------------

# batch TYPE BODY [CURL-ARGUMENT...]
batch() { ask POST /api/logs/batch -H "content-type: $1" --data-binary "$2" "${@:3}"; }
item() { printf '{"userId":"batch-%s","action":"%s"}' "$run" "$1"; }

array="[$(item a),$(item b)]"
batch application/json "$array" -H "idempotency-key: batch-$run"
expect 'batch: all of an array is taken' 200 '(body["accepted"], [each["status"] for each in body["results"]]) == (2, ["accepted", "accepted"])'
events=$(value '[each["eventId"] for each in body["results"]]')
batch application/x-ndjson "$(item a)"$'\n\n'"$(item b)" -H "idempotency-key: batch-$run"
expect 'batch: sent again as lines it has the same events' 200 "[each['eventId'] for each in body['results']] == $events"
batch application/json "[7,$(item c)]" -H 'prefer: return=minimal'
expect 'batch: a bad item spoils no other' 207 \
    '[body["accepted"], body["rejected"], headers["preference-applied"]] == [1, 1, "return=minimal"] and [
     (each["index"], each["status"], each["code"]) for each in body["results"]] == [(0, "rejected", "not_an_object")]'
{ item d && echo && item e && echo; } | gzip >"$work/lines.gz"
batch application/x-ndjson "@$work/lines.gz" -H 'content-encoding: gzip'
expect 'batch: packed lines' 200 'body["accepted"] == 2'
ask GET "/api/logs/events/$(value 'body["results"][1]["eventId"]')?wait=10"
expect 'batch: an item has its receipt' 200 'body["action"] == "e"'
ask GET "/api/logs?userId=batch-$run"
expect 'batch: stored once, in order' 200 'page(5) and actions() == ["a", "b", "c", "d", "e"]'
for bad in '' '[]' '{}' '[7'; do
    batch application/json "$bad"
    expect "batch: 400 for '$bad'" 400 'error()'
done
batch text/plain "$array"
expect 'batch: 415 for another content type' 415 'error()'
batch application/x-ndjson "$array" -H 'content-encoding: br'
expect 'batch: 415 for another packing' 415 'error()'

# --- several logs: filters and pages ----------------------------------------------------------------------------

# Twelve logs: two users in turn, three actions, one log on each day from 1 to 12 March 2025, at noon.
names=(create update delete)
for n in {1..12}; do
    post "{\"userId\":\"many-$((n % 2))-$run\",\"action\":\"${names[n % 3]}-$run\",\"timestamp\":\"$(printf '2025-03-%02dT12:00:00Z' "$n")\"}"
    [[ $status == 202 ]] || expect "several: log $n" 202
    receipts+=("$(value 'body["eventId"]')")
done
for event in "${receipts[@]}"; do
    ask GET "/api/logs/events/$event?wait=10"
    [[ $status == 200 ]] || expect "several: $event is stored" 200
done
both="userId=many-0-$run&userId=many-1-$run"
ask GET "/api/logs?$both&limit=100"
expect 'several: all twelve, for two users' 200 'page(12, limit=100)'
ask GET "/api/logs?userId=many-0-$run"
expect 'filter: user' 200 "page(6) and {entry['userId'] for entry in body['logs']} == {'many-0-$run'}"
ask GET "/api/logs?userId=MANY-0-$run"
expect 'filter: case counts' 200 'page(0)'
ask GET "/api/logs?action=create-$run"
expect 'filter: action' 200 "page(4) and set(actions()) == {'create-$run'}"
ask GET "/api/logs?userId=many-1-$run&action=update-$run"
expect 'filter: user and action' 200 "page(2) and set(actions()) == {'update-$run'}"
ask GET "/api/logs?$both&startDate=2025-03-10"
expect 'filter: start date' 200 'page(3) and sorted(days()) == ["2025-03-10", "2025-03-11", "2025-03-12"]'
ask GET "/api/logs?$both&endDate=2025-03-02"
expect 'filter: end date, its day included' 200 'page(2) and sorted(days()) == ["2025-03-01", "2025-03-02"]'
ask GET "/api/logs?$both&startDate=2025-03-05T12:00:00Z&endDate=2025-03-06T13:00:00%2B01:00"
expect 'filter: both ends are inclusive' 200 'page(2) and sorted(days()) == ["2025-03-05", "2025-03-06"]'
ask GET "/api/logs?$both&startDate=2025-03&endDate=2025-03&limit=12"
expect 'filter: a month' 200 'page(12, limit=12)'
ask GET "/api/logs?userId=&action=create-$run&page=&colour=red"
expect 'filter: empty is none, unknown is named' 200 'page(4) and headers["ignored-parameters"] == "colour"'

ask GET "/api/logs?$both&limit=100"
all=$(value '[entry["id"] for entry in body["logs"]]')
for n in 1 2 3; do
    ask GET "/api/logs?$both&limit=5&page=$n"
    expect "pages: page $n of 3" 200 "page(12, $n, 5) and [entry['id'] for entry in body['logs']] == ${all}[5 * ($n - 1):5 * $n]"
done
ask GET "/api/logs?$both&limit=5&page=4"
expect 'pages: beyond the end is empty' 200 'page(12, 4, 5)'
ask GET "/api/logs?$both&limit=5&page=200001"
expect 'pages: too deep, the cursor is named' 400 'error() and "cursor" in body["error"]'

ids='[entry["id"] for entry in body["logs"]]'
ask GET "/api/logs?$both&limit=5&count=none&sort=-id"
expect 'cursor: the first page, without a total' 200 "$ids == $all[:6:-1] and 'total' not in body"
cursor=$(value 'body["nextCursor"]')
ask GET "/api/logs?$both&limit=5&count=none&sort=-id&cursor=$cursor"
expect 'cursor: the second page' 200 "$ids == $all[6:1:-1] and 'page' not in body"
ask GET "/api/logs?$both&limit=5&sort=-id&cursor=$(value 'body["nextCursor"]')"
expect 'cursor: the last page' 200 "$ids == $all[1::-1] and body['total'] == 12 and body['totalIsExact']"
ask GET "/api/logs?limit=5&sort=-id&cursor=$cursor"
expect 'cursor: 400 with another filter' 400 'error() and body["code"] == "invalid_cursor"'
ask GET "/api/logs?$both&sort=-timestamp&limit=2"
expect 'sort: the newest timestamps' 200 'days() == ["2025-03-12", "2025-03-11"]'
ask GET "/api/logs?$both&actionPrefix=upd"
expect 'filter: prefix of the action' 200 "page(4) and set(actions()) == {'update-$run'}"

printf '%s passed, 0 failed\n' "$passed"
