#!/bin/bash
# Unpacks Docker of the Debian release after this one (trixie: 26.1) into a folder, without installing it.
#
#   newer-engine.sh DIR
#
# The installed runc serves both engines.
set -eu
# shellcheck source=tests/harness/apt.sh
. "$(dirname "$0")/apt.sh"

unpack "$1" trixie docker.io containerd
