#!/bin/bash
# Installs the packages of the lock file and builds the page, where that is not done yet: 700 MB and two minutes.
set -euo pipefail
cd "$(dirname "$0")"

version=$(node --version)
[ "$(printf '%s\n' v20.19 "$version" | sort -V | head -1)" = v20.19 ] || {
  echo "tests/scenes: node is $version; this needs 20.19 or later, newer than Debian 12's" >&2
  exit 1
}
if [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'tests/scenes: installing packages' >&2
  npm ci --loglevel error
  touch node_modules/.package-lock.json
fi
if [ ! -e dist/index.html ] || [ -n "$(find src index.html vite.config.mjs node_modules/.package-lock.json -newer dist/index.html)" ]; then
  echo 'tests/scenes: building the page' >&2
  npx vite build --logLevel error
  touch dist/index.html
fi
