#!/bin/bash
# Runs a command beside the whole lab, in a Docker engine of its own, and ends everything afterwards.
#
#   run.sh COMMAND...
#
# The command runs in the engine's network namespace: what compose.yaml publishes on 127.0.0.1 answers there. It gets
# DOCKER_HOST, and COMPOSE, the command that speaks to this lab. Needs root and target/debug/{binnacle,shop}.
#
#   LAB_COMPOSE=2       the version of compose: 2, or 1.29 as Debian 12 has it
#   LAB_TIME_LAPSE=10   rules whose times are this many times shorter (time-lapse.py); 1: as they are
#
# With 2 the store's disk is one of its own, in memory, which compose/chaos can fill.
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
    # A scenario that was cut off may have left dockerd stopped.
    echo 'signal CONT' >&9
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
case ${LAB_COMPOSE:-2} in
2)
  "$root/tests/harness/compose-v2.sh" "$root/target/tools/compose-v2" >/dev/null
  DOCKER_CONFIG=$(realpath "$root/target/tools/compose-v2")
  export DOCKER_CONFIG
  compose='docker compose'
  # Outside of dockerd's own folder, where it unmounts everything when it ends. A size is a limit: memory is taken by what
  # is stored; full is what has no room beyond it. (1.29 takes no volume whose options are not in its file.)
  disk=$dir/engine/store
  mounted="nsenter --mount=/proc/\$(cat $dir/engine/pid)/ns/mnt --"
  mkdir "$disk"
  sh -c "$mounted mount -t tmpfs -o size=4g,uid=10001,gid=10001,mode=700 tmpfs $disk"
  docker volume create --label com.docker.compose.project=lab --label com.docker.compose.volume=data \
    --opt type=none --opt o=bind --opt "device=$disk" lab_data >/dev/null
  export LAB_FILL_DISK="$mounted mount -o remount,size=\$($mounted du --summarize --block-size=1K $disk | cut -f1)k $disk"
  export LAB_FREE_DISK="$mounted mount -o remount,size=4g $disk" LAB_MIN_FREE_BYTES=off
  ;;
1.29) compose=docker-compose ;;
*) say "LAB_COMPOSE is 2 or 1.29, not $LAB_COMPOSE" && exit 2 ;;
esac
export COMPOSE="$compose -f $root/compose/compose.yaml -f $root/compose/compose.ci.yaml"
say "compose is $($compose version | head -1)"

# shellcheck disable=SC2046 # services are words
$COMPOSE up --detach $($COMPOSE config --services | grep -vx grafana) >"$dir/up.log" 2>&1 || { cat "$dir/up.log" >&2; exit 1; }

say "running $*"
export LAB_HANG_DOCKER="echo 'signal STOP' >$dir/commands" LAB_WAKE_DOCKER="echo 'signal CONT' >$dir/commands"
export LAB_RESTART_DOCKER="printf 'signal TERM\\nwait\\nstart --iptables=true\\n' >$dir/commands"
# The namespace outlives dockerd: this command, and the engine's supervisor, are in it.
nsenter --net="/proc/$(cat "$dir/engine/pid")/ns/net" -- "$@" 9>&-
say 'ending the lab'
