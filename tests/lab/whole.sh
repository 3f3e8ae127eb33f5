#!/bin/bash
# The chaos and the dashboards, one after the other: tests/lab/run.sh tests/lab/whole.sh
#
# The chaos comes before the dashboards, which then have something to show.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..

begun=$SECONDS
"$root/compose/chaos/run"
minutes=$(((SECONDS - begun) / 60 + 3))
"$here/expressions.py" "$minutes"
SCENES_MINUTES=0 SCENES_FROM=now-${minutes}m "$root/tests/scenes/beside-lab.sh"
