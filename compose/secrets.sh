#!/bin/sh
# Makes what the lab needs and no repository may hold: a token and passwords in compose/secrets (or $LAB_SECRETS), and
# compose/.env with Docker's socket and its group. What is there already stays as it is.
#
# The services run as different accounts and read the same files, so the files are readable for all; the folder is not,
# and keeps the other users of this machine out.
set -eu
cd "$(dirname "$0")"

folder=${LAB_SECRETS:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in binnacle_token postgres_password grafana_password; do
  if [ ! -s "$folder/$name" ]; then
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
    chmod 644 "$folder/$name"
  fi
done

if [ -z "${LAB_SECRETS-}" ] && [ ! -f .env ]; then
  socket=${DOCKER_SOCKET:-/var/run/docker.sock}
  group=$(stat -c %g "$socket")
  printf 'DOCKER_SOCKET=%s\nDOCKER_GID=%s\n' "$socket" "$group" >.env
fi
