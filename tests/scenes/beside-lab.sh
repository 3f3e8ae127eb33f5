#!/bin/bash
# Renders the dashboards beside the lab: tests/lab/run.sh tests/scenes/beside-lab.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
# shellcheck source=tests/scenes/node.sh
. "$here/node.sh"

export PROMETHEUS=http://127.0.0.1:9090 BINNACLE=http://127.0.0.1:3100
export BINNACLE_TOKEN_FILE=${LAB_SECRETS:-$root/compose/secrets}/binnacle_token
# Curves need some minutes of customers, and a bad one among them. 0: they are there already.
minutes=${SCENES_MINUTES:-4}
if [ "$minutes" != 0 ]; then
  echo "tests/scenes: letting the shop sell for $minutes minutes; in one of them payments are slow and fail" >&2
  sleep $(((minutes - 2) * 60))
  $COMPOSE exec -T payment shop fault latency_ms=400 error_rate=0.3
  sleep 60
  $COMPOSE exec -T payment shop fault
  sleep 60
fi
# Long enough to hold the bad minute when the last dashboard is drawn.
SCENES_FROM=${SCENES_FROM:-now-$((minutes + 4))m} exec node "$here/render.mjs" "$root/target/scenes"
