#!/bin/bash
# One private Docker engine for a test.
#
#   engine.sh DIR [PATH_PREFIX [DATA_BYTES]]
#
# Serves DIR/sock from DIR/data in network and mount namespaces of its own, so that it neither sees nor
# disturbs the machine's engine. DATA_BYTES makes DIR/data a disk of that size, in memory. Takes one command a line on standard input and answers each with a line:
#
#   start [FLAGS]   starts dockerd (does not wait for it to answer)
#   signal NAME     sends it a signal
#   wait            returns once it has ended
#
# End of input means that the test is over, or dead: everything this engine started is ended by its id, and
# DIR is removed. So nothing outlives a test binary, not even one killed with -9.
set -u

part=outside
[ "$1" != --inside ] || { part=inside && shift; }
dir=$1 path_prefix=${2:-} data_bytes=${3:-}
cgroup=$(basename "$dir")

outside() {
  mkdir -p "$dir" && echo $$ >"$dir/owner" || exit 1
  unshare --net --mount -- "$0" --inside "$dir" "$path_prefix" "$data_bytes"
  rm -rf "$dir"
  find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null
  return 0
}

dockerd_pid=

start() {
  # Killed together with dockerd, and not yet reaped by this machine's init: dockerd would wait for it.
  local containerd=$dir/exec/containerd/containerd.pid
  if grep -qs '^State:.Z' "/proc/$(cat "$containerd" 2>/dev/null)/status"; then rm "$containerd"; fi
  # cgroupfs: the cgroups are then ours to name and to remove, with or without systemd.
  # shellcheck disable=SC2086 # flags are words
  dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" --host "unix://$dir/sock" --bridge none --iptables=false --ip6tables=false \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$cgroup" --shutdown-timeout 5 \
    $1 >>"$dir/log" 2>&1 </dev/null &
  dockerd_pid=$!
}

# The processes of this engine, bar dockerd: containerd and its shims by the path of their socket,
# containers by their cgroup.
leftovers() {
  grep -lsa "$dir/[e]xec/" /proc/[0-9]*/cmdline | cut -d/ -f3
  find /sys/fs/cgroup -path "*/$cgroup/*" -name cgroup.procs -exec cat {} + 2>/dev/null
}

end() {
  if kill -CONT "$dockerd_pid" 2>/dev/null && kill -TERM "$dockerd_pid" 2>/dev/null; then
    for _ in $(seq 100); do
      kill -0 "$dockerd_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$dockerd_pid" 2>/dev/null
  fi
  for _ in $(seq 20); do
    pids=$(leftovers | sort -u)
    [ -n "$pids" ] || return
    # shellcheck disable=SC2086 # pids are words
    kill -KILL $pids 2>/dev/null
    sleep 0.1
  done
}

inside() {
  exec 2>>"$dir/log"
  [ -z "$path_prefix" ] || PATH=$path_prefix:$PATH
  # dockerd would use a containerd that answers here, and shims leave their sockets here.
  mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd || exit 1
  [ -z "$data_bytes" ] || { mkdir "$dir/data" && mount -t tmpfs -o "size=$data_bytes" tmpfs "$dir/data"; } || exit 1
  grep -q ' - cgroup' /proc/self/mountinfo || mount -t cgroup2 cgroup2 /sys/fs/cgroup
  busybox ip link set lo up
  echo '{}' >"$dir/daemon.json"
  while read -r verb argument; do
    case $verb in
    start) start "$argument" ;;
    signal) kill "-$argument" "$dockerd_pid" 2>/dev/null ;;
    wait) wait "$dockerd_pid" ;;
    esac
    echo "$verb done"
  done
  end
}

$part
