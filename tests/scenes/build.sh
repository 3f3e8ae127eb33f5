#!/bin/bash
# Installs the packages of the lock file and builds the page, where that is not done yet: 700 MB and two minutes.
set -euo pipefail
cd "$(dirname "$0")"

# shellcheck source=tests/scenes/node.sh
. ./node.sh
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
