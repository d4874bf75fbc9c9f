#!/usr/bin/env bash
# `make run`: the whole system in the foreground, on private PostgreSQL and Redis instances that live and
# die with it. Data stay under .muneem/run; Ctrl-C stops all that it started.
#
# Settings, all from the environment:
#   DATABASE_URL, REDIS_URL                      yours are used, and nothing is started for them
#   MUNEEM_LISTEN                                default 127.0.0.1:8080
#   MUNEEM_POSTGRES_PORT, MUNEEM_REDIS_PORT      default 15432 and 16379
#   MUNEEM_DATA_DIR                              default .muneem/run/data
#   MUNEEM_MODE                                  default development
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh

export MUNEEM_LISTEN=${MUNEEM_LISTEN:-127.0.0.1:8080}
export MUNEEM_MODE=${MUNEEM_MODE:-development}
export MUNEEM_DATA_DIR=${MUNEEM_DATA_DIR:-$run_dir/data}
[[ $MUNEEM_DATA_DIR == /* ]] || MUNEEM_DATA_DIR="$root/$MUNEEM_DATA_DIR"
postgres_port=${MUNEEM_POSTGRES_PORT:-15432}
redis_port=${MUNEEM_REDIS_PORT:-16379}
own_postgres=$([[ -n ${DATABASE_URL:-} ]] || echo yes)
own_redis=$([[ -n ${REDIS_URL:-} ]] || echo yes)

need_cargo
mkdir -p "$run_dir" 2>/dev/null && [[ -w $run_dir ]] ||
  die "$run_dir is not writable for $(id -un); it may be another account's: sudo make clean-data"
exec 9>>"$lock_file"
flock -n 9 || die "make run is already running here (process $(cat "$lock_file")); Ctrl-C there, or: make stop"
echo $$ >"$lock_file"

started=
teardown() {
  local status=$?
  # The terminal may be gone, and then writing to it fails: that must not keep anything from stopping.
  set +e
  trap '' INT TERM HUP PIPE
  trap - EXIT
  if [[ -n $started ]]; then say "stopping"; fi
  stop_attended
  stop_services
  if [[ -n $started ]]; then say "stopped; the data stay in $run_dir"; fi
  exit "$status"
}
trap teardown EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# A `make run` that was killed may have left its servers behind; they would hold ports and data.
stop_services

listen_host=${MUNEEM_LISTEN%:*}
case $listen_host in 0.0.0.0 | '[::]' | '') listen_host=127.0.0.1 ;; esac
listen_port=${MUNEEM_LISTEN##*:}
if port_taken "$listen_host" "$listen_port"; then
  die "port $listen_port is taken; stop what uses it, or: MUNEEM_LISTEN=127.0.0.1:$((listen_port + 1)) make run"
fi
if [[ -n $own_postgres ]] && port_taken 127.0.0.1 "$postgres_port"; then
  die "port $postgres_port is taken; stop what uses it, or: MUNEEM_POSTGRES_PORT=$((postgres_port + 1)) make run"
fi
if [[ -n $own_redis ]] && port_taken 127.0.0.1 "$redis_port"; then
  die "port $redis_port is taken; stop what uses it, or: MUNEEM_REDIS_PORT=$((redis_port + 1)) make run"
fi

# not_started <server> <its port> <setting> <log>: says why a server did not start, and the mend. A port that
# was taken since it was looked at must not cost anybody their data.
not_started() {
  if port_taken 127.0.0.1 "$2"; then
    die "$1 did not start: port $2 was taken meanwhile; again, with another one: $3=$(($2 + 1)) make run"
  fi
  die "$1 did not start (why: above and in $4); if its data are broken and can be lost: make clean-data"
}

install_missing ${own_postgres:+postgres} ${own_redis:+redis} cc
started=yes

say "building (the first time takes some minutes)"
attended cargo build -p muneem || die "the build failed, see above"

umask 077
[[ -s $run_dir/secret ]] || random_secret >"$run_dir/secret"
secret=$(<"$run_dir/secret")

if [[ -n $own_postgres ]]; then
  # The account `postgres` walks through this folder; what is secret in it is closed by itself.
  if ((EUID == 0)); then chmod 711 "$run_dir"; fi
  postgres_home=$(postgres_place)
  if [[ $postgres_home != "$run_dir"/* ]]; then
    make_postgres_outside
    say "the account postgres cannot enter $run_dir, so the database lies in $postgres_home"
  fi
  postgres_make_home "$postgres_home"
  say "starting PostgreSQL on 127.0.0.1:$postgres_port"
  postgres_start "$postgres_home" "$postgres_port" "$secret" ||
    not_started PostgreSQL "$postgres_port" MUNEEM_POSTGRES_PORT "$postgres_home/log"
  export DATABASE_URL="postgres://muneem:$secret@127.0.0.1:$postgres_port/muneem"
fi
if [[ -n $own_redis ]]; then
  say "starting Redis on 127.0.0.1:$redis_port"
  redis_start "$run_dir/redis" "$redis_port" "$secret" "appendonly yes" ||
    not_started Redis "$redis_port" MUNEEM_REDIS_PORT "$run_dir/redis/log"
  export REDIS_URL="redis://:$secret@127.0.0.1:$redis_port/0"
fi

mkdir -p "$MUNEEM_DATA_DIR"
export MUNEEM_URL="http://$listen_host:$listen_port"
for name in DATABASE_URL REDIS_URL MUNEEM_DATA_DIR MUNEEM_LISTEN MUNEEM_MODE MUNEEM_URL; do
  printf '%s=%s\n' "$name" "${!name}"
done >"$env_file"

setsid "$target_dir/debug/muneem" serve </dev/null 9>&- &
attended_pid=$!
echo "$attended_pid" >"$run_dir/muneem.pid"
status=0
wait "$attended_pid" || status=$?
attended_pid=
exit "$status"
