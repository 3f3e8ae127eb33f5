#!/bin/sh
# What upstream's image of PostgreSQL does with the same variables, as far as the lab asks for it.
set -eu
export PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  # Before anybody can connect from outside.
  echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -j template1
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
