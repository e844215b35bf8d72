#!/usr/bin/env bash
# How fast logs are found, at any size: a store of ten million logs on each backend, asked over HTTP, one question at a
# time. Writes docs/QUERIES.md.
#
#   benches/queries.sh                    ten million logs; half an hour and 12 GB of disk
#   LOGS=200000 benches/queries.sh        a quick look; the document is left alone
#   ONLY=embedded benches/queries.sh      one backend (embedded or mongo); the document is left alone
#   KEEP=folder benches/queries.sh        keep the filled stores there, and use them if they are there already
#
# MongoDB has a cache of MONGO_CACHE_GB, 4 unless said otherwise: less than the store, more than its indexes.
# Needs what benches/compare.sh needs: wrk, Python 3, and Kafka and MongoDB as tests/servers.sh starts them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v wrk >/dev/null || { echo 'wrk is missing: sudo apt-get install wrk' >&2; exit 3; }
export MONGO_CACHE_GB=${MONGO_CACHE_GB:-4}
exec python3 -B benches/queries
