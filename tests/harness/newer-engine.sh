#!/bin/bash
# Unpacks Docker of the Debian release after this one (trixie: 26.1) into a folder, without installing it.
#
#   newer-engine.sh DIR
#
# The installed runc serves both engines.
set -eu
# shellcheck source=tests/harness/apt.sh
. "$(dirname "$0")/apt.sh"

mkdir -p "$1"
dir=$(cd "$1" && pwd)
exec 9>"$dir.lock"
flock 9
[ ! -e "$dir/complete" ] || exit 0

apt_for "$dir/apt" trixie
cd "$dir/apt"
"${apt[@]}" download docker.io containerd
for package in *.deb; do
  dpkg -x "$package" "$dir"
done
cd /
rm -rf "$dir/apt"
touch "$dir/complete"
