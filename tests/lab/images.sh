#!/bin/bash
# Builds what compose.ci.yaml names into the engine at $DOCKER_HOST, without a registry.
#
#   images.sh FOLDER_OF_BINARIES SCRATCH
#
# Our own images come from their Dockerfiles; two of their stages, which need a registry, are replaced by images of what
# those would make. In Jaeger's place stands rotel, a receiver of traces by others (target/otlp-receivers). Grafana has
# no stand-in.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
binaries=$1 scratch=$2

docker=/usr/bin/docker # Debian's own client brings BuildKit, which leaves out stages that nothing asks for.
export DOCKER_BUILDKIT=1

stand_in=$("$here/packages.sh" "$root/target/lab")
"$docker" import "$stand_in" stand-in:ci >/dev/null
mkdir -p "$scratch/others/lib"
cp "$root"/target/otlp-receivers/rotel/lib/python3*/site-packages/rotel/rotel-agent "$scratch/others"
ldd "$scratch/others/rotel-agent" | awk '/libpython|libexpat/ { print $3 }' | xargs cp --dereference -t "$scratch/others/lib"
for stage in prometheus alertmanager node-exporter redis postgres jaeger; do
  "$docker" build --quiet --target "$stage" --tag "$stage:ci" --file "$here/Dockerfile" "$scratch/others" >/dev/null
done

"$root/compose/rootfs.sh" "$scratch/system/rootfs"
tar -C "$scratch/system" -c . | "$docker" import - stand-in-root:ci >/dev/null
# own IMAGE BINARY DOCKERFILE
own() {
  mkdir -p "$scratch/$2/out"
  strip --strip-debug -o "$scratch/$2/out/$2" "$binaries/$2"
  tar -C "$scratch/$2" -c . | "$docker" import - "stand-in-$2:ci" >/dev/null
  "$docker" build --quiet --tag "$1" --file "$root/$3" \
    --build-arg "BINARY=stand-in-$2:ci" --build-arg ROOT=stand-in-root:ci "$root" >/dev/null
}
own binnacle:ci binnacle compose/Dockerfile
own binnacle-shop:ci shop compose/shop/Dockerfile
