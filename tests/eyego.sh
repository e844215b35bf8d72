# shellcheck shell=bash
# Sourced by the test scripts: runs the binary as a child of the script, apart from the caller's environment.

# start_eyego FOLDER BINARY [VARIABLE=VALUE...]: starts it on a free port, in FOLDER (no `.env` of the caller is read),
# and returns when it listens. Sets EYEGO_PID and EYEGO_URL; its output is FOLDER/out and FOLDER/err.
start_eyego() {
    local folder=$1 binary=$2 tries=0
    shift 2
    mkdir -p "$folder"
    (cd "$folder" && exec env -i PATH="$PATH" HOST=127.0.0.1 PORT=0 "$@" "$binary" >out 2>err </dev/null) &
    EYEGO_PID=$!
    until EYEGO_URL=$(sed -n 's|.* listening on \(http://[^ ]*\).*|\1|p' "$folder/out" 2>/dev/null | head -n 1) && [[ -n $EYEGO_URL ]]; do
        if ! kill -0 "$EYEGO_PID" 2>/dev/null || ((++tries > 300)); then
            echo "eyego did not start:" >&2
            tail -n 20 "$folder/out" "$folder/err" >&2
            return 1
        fi
        sleep 0.1
    done
}

# stop_eyego: SIGTERM, and the exit code has to be 0.
stop_eyego() {
    local code=0
    kill -TERM "$EYEGO_PID"
    timeout 40 tail --pid="$EYEGO_PID" -f /dev/null || kill -KILL "$EYEGO_PID"
    wait "$EYEGO_PID" || code=$?
    EYEGO_PID=
    [[ $code == 0 ]] || echo "eyego ended with exit code $code after SIGTERM, not 0" >&2
    return "$code"
}

# eventually SECONDS COMMAND...: until it succeeds.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# ready [PURPOSE]: /readyz answers 200.
ready() { curl -sf --max-time 5 -o /dev/null "$EYEGO_URL/readyz${1:+?for=$1}"; }

# in_database NAME: MONGO_URI with that database.
in_database() {
    local scheme=${MONGO_URI%%://*} rest=${MONGO_URI#*://} query=
    [[ $rest != *\?* ]] || query="?${rest#*\?}"
    rest=${rest%%\?*}
    printf '%s://%s/%s%s' "$scheme" "${rest%%/*}" "$1" "$query"
}
