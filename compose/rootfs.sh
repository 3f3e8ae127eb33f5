#!/bin/sh
# Fills DIR with what the binary needs around it, from Debian's packages: rootfs.sh DIR
set -eu
root=$1
packages='libc6 libgcc-s1 ca-certificates tzdata'

mkdir -p "$root"
root=$(cd "$root" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch" # apt fetches as a user of its own
cd "$scratch"
# shellcheck disable=SC2086 # packages are words
apt-get download -qq $packages 2>/dev/null || { apt-get update -qq && apt-get download -qq $packages; }
for package in ./*.deb; do
  dpkg-deb -x "$package" "$root"
done
rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/lintian \
  "$root"/usr/lib/*/gconv "$root"/usr/sbin "$root"/usr/share/zoneinfo/right "$root"/usr/share/zoneinfo/posix
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root/usr/share/ca-certificates"

printf 'root:x:0:0::/:/sbin/nologin\nbinnacle:x:10001:10001::/data:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nbinnacle:x:10001:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
mkdir -p "$root/data" "$root/run/binnacle" "$root/tmp"
chown 10001:10001 "$root/data" "$root/run/binnacle"
chmod 700 "$root/data"
chmod 750 "$root/run/binnacle"
chmod 1777 "$root/tmp"
