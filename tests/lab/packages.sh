#!/bin/bash
# Makes a root file system of Debian packages that stand for upstream's images: Prometheus, Alertmanager, node-exporter,
# Redis and PostgreSQL, in the versions that compose.yaml pins.
#
#   packages.sh FOLDER
#
# Prints the path of a tar in FOLDER. Made once: 40 s and 150 MB from the Debian mirror. Nothing is installed here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/harness/apt.sh
. "$here/../harness/apt.sh"

mkdir -p "$1"
# Another script makes another tar.
tar=$1/stand-in-$(cat "$here/packages.sh" "$here/postgres-entrypoint.sh" | sha256sum | cut -c1-12).tar
echo "$tar"
[ ! -e "$tar" ] || exit 0
rm -f "$1"/stand-in-*.tar
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
mkdir -p "$root"

echo 'fetching the packages that stand for upstream images' >&2
fetch() {
  apt_for "$scratch/apt" trixie &&
    "${apt[@]}" --yes --download-only install \
      prometheus prometheus-alertmanager prometheus-node-exporter redis-server postgresql-17 busybox-static
}
fetch >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
for folder in bin sbin lib lib64; do
  mkdir -p "$root/usr/$folder"
  ln -s "usr/$folder" "$root/$folder"
done
for package in "$scratch"/apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink
done

# What no service needs. PostgreSQL compiles no queries without its llvmjit.so, and works.
rm -rf "$root"/usr/share/{doc,man,info,locale,i18n,perl,javascript,fonts,nodejs} \
  "$root"/usr/lib/x86_64-linux-gnu/{perl*,gconv,libLLVM*,libz3*} "$root"/usr/lib/postgresql/17/lib/{bitcode,llvmjit*}

# As in upstream's images: a shell, wget, and who owns the data.
for applet in sh wget mkdir chmod cat; do
  ln -sf busybox "$root/usr/bin/$applet"
done
for program in postgres initdb pg_isready pg_ctl psql; do
  ln -sf "../lib/postgresql/17/bin/$program" "$root/usr/bin/$program"
done
install -m 755 "$here/postgres-entrypoint.sh" "$root/usr/bin/docker-entrypoint.sh"
printf 'root:x:0:0::/:/bin/sh\nservice:x:999:999::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nservice:x:999:\nnogroup:x:65534:\n' >"$root/etc/group"
mkdir -p "$root"/{tmp,data,prometheus,alertmanager,var/run/postgresql,var/lib/postgresql/data,etc/prometheus,etc/alertmanager}
chmod 1777 "$root/tmp"
chown 65534:65534 "$root/prometheus" "$root/alertmanager"
chmod 3777 "$root/var/run/postgresql"
chown 999:999 "$root/data" "$root/var/lib/postgresql/data"

tar -C "$root" -cf "$tar.new" .
mv "$tar.new" "$tar"
