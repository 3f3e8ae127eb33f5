#!/bin/bash
# Unpacks Docker of the Debian release after this one (trixie: 26.1) into a folder, without installing it.
#
#   newer-engine.sh DIR
#
# The mirror is the one that this machine's apt already uses. The installed runc serves both engines.
set -eu

release=trixie
mkdir -p "$1"
dir=$(cd "$1" && pwd)
exec 9>"$dir.lock"
flock 9
[ ! -e "$dir/complete" ] || exit 0

# shellcheck disable=SC2016 # apt-get's own variables
find_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk '/\/debian\/? bookworm$/ { print $1; exit }'
}
mirror=$(find_mirror)
[ -n "$mirror" ] || { apt-get -qq update && mirror=$(find_mirror); }
[ -n "$mirror" ] || { echo "no Debian 12 mirror among this machine's apt sources" >&2; exit 1; }

apt=$dir/apt
mkdir -p "$apt"/{etc/preferences.d,state/lists/partial,cache/archives/partial}
: >"$apt/status"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror $release main" >"$apt/etc/sources.list"
options=(-q -o "Dir::Etc=$apt/etc" -o "Dir::Etc::Parts=-" -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status"
  -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=root")

cd "$apt"
apt-get "${options[@]}" update
apt-get "${options[@]}" download docker.io containerd
for package in *.deb; do
  dpkg -x "$package" "$dir"
done
cd /
rm -rf "$apt"
touch "$dir/complete"
