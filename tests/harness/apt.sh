# shellcheck shell=bash
# apt for one release of Debian, apart from this machine's own. Sourced. The mirror is the one that this machine's apt
# already uses.
#
#   apt_for DIR RELEASE             sets `apt`, the command to call; DIR has lists and a status of its own, in which
#                                   nothing is installed
#   unpack DIR RELEASE PACKAGE...   unpacks packages into DIR, once; without what they depend on

# shellcheck disable=SC2016 # apt-get's own variables
find_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk '/\/debian\/? bookworm$/ { print $1; exit }'
}

apt_for() {
  local dir=$1 release=$2 mirror
  mirror=$(find_mirror)
  [ -n "$mirror" ] || { apt-get -qq update && mirror=$(find_mirror); }
  [ -n "$mirror" ] || { echo "no Debian 12 mirror among this machine's apt sources" >&2; return 1; }
  mkdir -p "$dir"/{etc/preferences.d,state/lists/partial,cache/archives/partial}
  : >"$dir/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$dir/etc/sources.list"
  apt=(apt-get -q -o "Dir::Etc=$dir/etc" -o "Dir::Etc::Parts=-" -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status"
    -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=root" -o "APT::Install-Recommends=false")
  "${apt[@]}" update
}

unpack() {
  mkdir -p "$1"
  local dir release=$2 package
  dir=$(cd "$1" && pwd)
  shift 2
  exec 9>"$dir.lock"
  flock 9
  [ ! -e "$dir/complete" ] || return 0
  apt_for "$dir/apt" "$release"
  (cd "$dir/apt" && "${apt[@]}" download "$@")
  for package in "$dir"/apt/*.deb; do
    dpkg -x "$package" "$dir"
  done
  rm -rf "$dir/apt"
  touch "$dir/complete"
}
