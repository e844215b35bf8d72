#!/usr/bin/env bash
# Measures the service against ceilings of this machine, on the embedded engine and on real Kafka and MongoDB, and
# writes the table of docs/PERFORMANCE.md. Needs two quiet cores, wrk, and what tests/servers.sh needs.
#
#   benches/compare.sh                    3 rounds, about 40 minutes after the build
#   QUICK=1 benches/compare.sh            one short round, to see that everything works; its figures mean little
#   ROUNDS=5 benches/compare.sh
#   ONLY='@64|tool' benches/compare.sh    only the groups that match; the document is left alone (LIST=1 names them)
#   NICE='nice -n 10' benches/compare.sh  how to build
#
# MongoDB has a cache of MONGO_CACHE_GB, 4 unless said otherwise, for both sides: with the half gigabyte of the tests it
# spends half of its time making room. Kafka has a heap of KAFKA_HEAP, 1g unless said otherwise, as its own scripts give it.
# Results are kept in target/compare/results.json; FROM=that-file writes the document from it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -z ${FROM:-}${LIST:-} ]]; then
    if ! command -v wrk >/dev/null; then
        if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
            DEBIAN_FRONTEND=noninteractive apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk
        else
            echo 'wrk is missing: sudo apt-get install wrk' >&2
            exit 3
        fi
    fi
fi
export MONGO_CACHE_GB=${MONGO_CACHE_GB:-4} KAFKA_HEAP=${KAFKA_HEAP:-1g}
exec python3 -B benches/compare
