#!/bin/bash
# Unpacks compose v2 of the Debian release after this one (trixie: 2.26.1) as a plugin of Docker's client, without
# installing it.
#
#   compose-v2.sh DIR
#
# Afterwards `DOCKER_CONFIG=DIR docker compose` is that version.
set -eu
# shellcheck source=tests/harness/apt.sh
. "$(dirname "$0")/apt.sh"

unpack "$1" trixie docker-compose
ln -sfn usr/libexec/docker/cli-plugins "$1/cli-plugins"
