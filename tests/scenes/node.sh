# shellcheck shell=bash
# Puts a Node first in PATH that is new enough. Sourced. Debian 12's is too old; then one from npm is used, 190 MB.
newer_node=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/tools/node
is_new_enough() { [ "$(printf '%s\n' v20.19 "$(node --version)" | sort -V | head -1)" = v20.19 ]; }
if ! is_new_enough; then
  package=node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
  bin=$newer_node/node_modules/$package/bin
  [ -x "$bin/node" ] || npm install --silent --no-audit --no-fund --prefix "$newer_node" "$package@22.23.3"
  PATH=$bin:$PATH
  is_new_enough || { echo "tests/scenes: node is $(node --version); this needs 20.19 or later" >&2; exit 1; }
fi
