#!/bin/bash
# Runs a command beside the whole lab, in a Docker engine of its own, and ends everything afterwards.
#
#   run.sh COMMAND...
#
# The command runs in the engine's network namespace: what compose.yaml publishes on 127.0.0.1 answers there. It gets
# DOCKER_HOST, and COMPOSE, the command that speaks to this lab. Needs root and target/debug/{binnacle,shop}.
#
#   LAB_TIME_LAPSE=10   rules whose times are this many times shorter (time-lapse.py); 1: as they are
#
# On failure the logs of all containers are left in target/lab/logs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/binnacle-lab-XXXXXX")
say() { printf '=== %s (%d s)\n' "$*" "$SECONDS" >&2; }

end() {
  status=$?
  trap - EXIT
  if [ "$status" != 0 ] && [ -n "${COMPOSE-}" ]; then
    rm -rf "$root/target/lab/logs" && mkdir -p "$root/target/lab/logs"
    for container in $(docker ps --all --format '{{.Names}}'); do
      docker logs --timestamps "$container" >"$root/target/lab/logs/$container.log" 2>&1 || true
    done
    cp "$dir/engine/log" "$root/target/lab/logs/dockerd.log" || true
    say "logs of all containers are in target/lab/logs"
  fi
  # The end of its input ends the engine and all its containers.
  [ -z "${engine-}" ] || { exec 9>&-; wait "$engine" || true; }
  rm -rf "$dir"
  exit "$status"
}
trap end EXIT

say 'starting an engine'
mkfifo "$dir/commands"
"$root/tests/harness/engine.sh" "$dir/engine" <"$dir/commands" >"$dir/replies" 9>&- &
engine=$!
exec 9>"$dir/commands"
# Networks that are internal need iptables; they are this namespace's own.
echo 'start --iptables=true' >&9
export DOCKER_HOST=unix://$dir/engine/sock
for _ in $(seq 600); do
  docker version >/dev/null 2>&1 && break
  sleep 0.1
done
docker version >/dev/null || { tail -20 "$dir/engine/log" >&2; exit 1; }

say 'building images'
"$here/images.sh" "$root/target/debug" "$dir/images"
rm -rf "$dir/images"

say 'starting the lab'
export DOCKER_SOCKET=$dir/engine/sock LAB_SECRETS=$dir/secrets
DOCKER_GID=$(stat -c %g "$DOCKER_SOCKET")
export DOCKER_GID
"$root/compose/secrets.sh"
if [ "${LAB_TIME_LAPSE:-1}" != 1 ]; then
  "$here/time-lapse.py" "$LAB_TIME_LAPSE" "$root/dashboards" "$dir/time-lapse"
  export LAB_PROMETHEUS=$dir/time-lapse/prometheus LAB_ALERTMANAGER=$dir/time-lapse/alertmanager
fi
export COMPOSE_PROJECT_NAME=lab
export COMPOSE="docker-compose -f $root/compose/compose.yaml -f $root/compose/compose.ci.yaml"
# shellcheck disable=SC2046 # services are words
$COMPOSE up --detach $($COMPOSE config --services | grep -vxE 'grafana|jaeger') >"$dir/up.log" 2>&1 || { cat "$dir/up.log" >&2; exit 1; }

say "running $*"
export LAB_RESTART_DOCKER="printf 'signal TERM\\nwait\\nstart --iptables=true\\n' >$dir/commands"
# The namespace outlives dockerd: this command, and the engine's supervisor, are in it.
nsenter --net="/proc/$(cat "$dir/engine/pid")/ns/net" -- "$@" 9>&-
say 'ending the lab'
