# Private PostgreSQL and Redis instances: found, installed, started, stopped.
# Sourced by run.sh, test.sh, stop.sh and with-env.sh; it only defines things.
# Callers run under `set -euo pipefail`.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
run_dir="$root/.muneem/run"
# shellcheck disable=SC2034 # for the scripts that source this
env_file="$run_dir/env"
lock_file="$run_dir/lock"
target_dir=${CARGO_TARGET_DIR:-$root/target}
[[ $target_dir == /* ]] || target_dir="$root/$target_dir"

# A terminal that is gone must not fail what was to be told.
say() { printf 'muneem: %s\n' "$*" 2>/dev/null || true; }

# One line that says the mend, then the end.
die() {
  printf 'muneem: %s\n' "$*" >&2
  exit 1
}

# wait_until <seconds> <command...>: probes every 50 ms until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

# A zombie counts as gone: a container's first process may never reap it.
gone() { ! grep -qs '^State:[[:space:]][^ZX]' "/proc/$1/status"; }

# port_taken <host> <port>: whether anything answers there.
port_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Below the range which the kernel hands out to outgoing connections.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 10000))
    port_taken 127.0.0.1 "$port" || break
  done
  echo "$port"
}

# Hexadecimal, so that it needs no quoting in a URL, a file or a shell.
random_secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# attended <command...>: runs it in a process group of its own and waits for it. The terminal's Ctrl-C
# then reaches this shell alone, whose trap ends the group by `stop_attended`, in its own order.
attended_pid=
attended() {
  local status=0
  setsid "$@" </dev/null 9>&- &
  attended_pid=$!
  wait "$attended_pid" || status=$?
  attended_pid=
  return "$status"
}

stop_attended() {
  local pid=$attended_pid
  [[ -n $pid ]] || return 0
  attended_pid=
  kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || return 0
  wait_until 20 gone "$pid" || kill -KILL -- "-$pid" 2>/dev/null || true
}

# ---------------------------------------------------------------------------------------------------
# What the machine must have

# rustup puts cargo here; a shell that was open before it, or sudo, does not have it on its PATH yet.
need_cargo() {
  command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  command -v cargo >/dev/null || die "cargo is missing; install Rust from https://rustup.rs, then try again"
}

# postgres_bin [version]: the folder of initdb, pg_ctl and psql; the newest one when no version is named.
# Debian keeps them off the PATH.
postgres_bin() {
  local found
  found=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path "*/${1:-*}/bin/initdb" 2>/dev/null | sort -V | tail -n 1)
  [[ -n $found ]] || found=$(command -v initdb) || return 1
  dirname "$found"
}

# install_missing <postgres|redis|cc|venv|chromium...>: Debian packages of those that are not there, and only those.
install_missing() {
  local packages=() need log
  for need in "$@"; do
    case $need in
      postgres) postgres_bin >/dev/null || packages+=(postgresql) ;;
      redis) command -v redis-server >/dev/null && command -v redis-cli >/dev/null || packages+=(redis-server) ;;
      cc) command -v cc >/dev/null || packages+=(gcc libc6-dev) ;;
      chromium) command -v chromium >/dev/null || packages+=(chromium) ;;
      venv) python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv) ;;
    esac
  done
  ((${#packages[@]})) || return 0

  command -v apt-get >/dev/null ||
    die "missing: ${packages[*]}, and there is no apt-get here; install them by hand, then try again"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "missing: ${packages[*]}, and there is no sudo here; as root: apt-get install ${packages[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${packages[*]}${as_root[*]:+ (sudo may ask for your password)}"
  say "(Debian may start servers of its own from them; Muneem leaves those alone and uses private ones)"
  log=$(mktemp)
  # One command, so that a sudo without a memory asks once.
  # shellcheck disable=SC2016 # $@ is the inner shell's
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update && apt-get install -y --no-install-recommends "$@"' sh "${packages[@]}" \
    </dev/null >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    die "installing failed (above; all of it in $log); by hand: apt-get update && apt-get install ${packages[*]}"
  fi
  rm -f "$log"
}

# ---------------------------------------------------------------------------------------------------
# PostgreSQL. A home is a folder with `data/` and `log`, owned by the account that the server runs as.

# PostgreSQL refuses to run as root; Debian's package brings the account `postgres`.
as_postgres() {
  if ((EUID == 0)); then
    (cd / && exec runuser -u postgres -- "$@")
  else
    (cd / && exec "$@")
  fi
}

# postgres_make_home <home>: creates the folder, passable for the server's account alone.
postgres_make_home() {
  mkdir -p "$1"
  if ((EUID == 0)); then chown postgres: "$1"; fi
  chmod 700 "$1"
}

# The folder of `make run`'s database. Under root the account `postgres` must be able to walk there, and
# it cannot when the project lies, say, under /root; then the data lie in /var/tmp, which outlives a reboot.
postgres_place() {
  if ((EUID != 0)) || as_postgres test -x "$run_dir" 2>/dev/null; then
    echo "$run_dir/postgres"
  else
    echo "$(postgres_outside)/postgres"
  fi
}

postgres_outside() { echo "/var/tmp/muneem-$(printf %s "$root" | sha256sum | cut -c 1-12)"; }

# /var/tmp is everybody's: whoever made the folder before us could read or swap what is in it.
make_postgres_outside() {
  local place
  place=$(postgres_outside)
  mkdir -m 711 "$place" 2>/dev/null || true
  [[ -d $place && ! -L $place && -O $place ]] || die "$place belongs to somebody else; remove it, then try again"
}

# postgres_pid <home>: the process that serves this home now. A pid file that outlived a kill -9 or a
# reboot can name a stranger, so the process must stand in the data folder; only its own account (and not
# root in every container) may look where it stands.
postgres_pid() {
  local pid
  pid=$(as_postgres head -n 1 "$1/data/postmaster.pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  [[ $(as_postgres readlink "/proc/$pid/cwd" 2>/dev/null) == "$1/data" ]] || return 1
  echo "$pid"
}

# postgres_start <home> <port> <password> [name=value...]: creates the cluster on the first use, starts it
# on loopback with no Unix socket (a socket's path has a limit of 107 bytes) and waits until it answers.
# Returns 1 with the reason on stderr. The superuser and the database are both called muneem.
postgres_start() {
  local home=$1 port=$2 password=$3 version='' bin setting
  shift 3
  version=$(as_postgres cat "$home/data/PG_VERSION" 2>/dev/null) || true
  bin=$(postgres_bin "$version") || {
    echo "the data in $home need PostgreSQL $version; apt-get install postgresql-$version, or: make clean-data" >&2
    return 1
  }
  if [[ -z $version ]]; then
    # Made aside and renamed: an interrupted initdb leaves nothing that looks like a database.
    # shellcheck disable=SC2016 # expanded by the inner shell, as the server's account
    as_postgres sh -c '
      umask 077 && cd "$1" && rm -rf data.new && cat >password &&
      "$2/initdb" -D data.new --username=muneem --pwfile=password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions >log 2>&1
      status=$?; rm -f password
      [ $status = 0 ] && mv data.new data || { tail -n 5 log >&2; exit 1; }' \
      sh "$home" "$bin" <<<"$password" || return 1
  elif ! postgres_pid "$home" >/dev/null; then
    as_postgres rm -f "$home/data/postmaster.pid"
  fi
  local options="-c port=$port -c listen_addresses=127.0.0.1 -k ''"
  for setting in "$@"; do options+=" -c $setting"; done
  if ! as_postgres "$bin/pg_ctl" -s -w -t 60 -D "$home/data" -l "$home/log" -o "$options" start </dev/null >/dev/null 2>&1 9>&-; then
    as_postgres tail -n 5 "$home/log" >&2
    return 1
  fi
  local exists
  exists=$(postgres_sql "$bin" "$port" "$password" "select count(*) from pg_database where datname = 'muneem'") || return 1
  [[ $exists == 1 ]] || postgres_sql "$bin" "$port" "$password" 'create database muneem' >/dev/null
}

postgres_sql() {
  PGPASSWORD=$3 PGSSLMODE=disable PGOPTIONS='' "$1/psql" -XAtqw -h 127.0.0.1 -p "$2" -U muneem -d postgres -c "$4"
}

postgres_stop() {
  local pid
  pid=$(postgres_pid "$1") || return 0
  # SIGINT is PostgreSQL's fast shutdown: it ends the sessions and leaves clean files.
  kill -INT "$pid" 2>/dev/null || true
  wait_until 30 gone "$pid" || kill -QUIT "$pid" 2>/dev/null || true
}

# ---------------------------------------------------------------------------------------------------
# Redis. A home is a folder with its configuration, pid file, log and data.

redis_pid() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$1" ]] || return 1
  echo "$pid"
}

# redis_start <home> <port> <password> [configuration line...]: starts it on loopback and waits until it
# answers. Returns 1 with the reason on stderr.
redis_start() {
  local home=$1 port=$2 password=$3
  shift 3
  mkdir -p "$home" && chmod 700 "$home"
  # A file, not arguments: those are readable to everybody in the list of processes.
  (
    umask 077
    printf '%s\n' "bind 127.0.0.1" "port $port" "requirepass $password" "dir \"$home\"" \
      "daemonize yes" "pidfile \"$home/pid\"" "logfile \"$home/log\"" "$@" >"$home/redis.conf"
  )
  if ! redis-server "$home/redis.conf" </dev/null >/dev/null 2>&1 9>&- ||
    ! wait_until 30 redis_answers "$port" "$password"; then
    tail -n 5 "$home/log" >&2 || true
    return 1
  fi
}

redis_answers() { [[ $(REDISCLI_AUTH=$2 redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null) == PONG ]]; }

redis_stop() {
  local pid
  pid=$(redis_pid "$1") || return 0
  kill -TERM "$pid" 2>/dev/null || true
  wait_until 15 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

# ---------------------------------------------------------------------------------------------------
# Throw-away servers for tests. They lie in memory where that is possible: the tests make a database each,
# and none of them outlives the run.

scratch=

# throw_away_start: starts both and exports DATABASE_URL and REDIS_URL.
throw_away_start() {
  local base=${TMPDIR:-/tmp}
  sweep_tests
  if [[ -d /dev/shm && -w /dev/shm ]]; then base=/dev/shm; fi
  scratch=$(mktemp -d "$base/muneem-test.XXXXXXXX")
  chmod 711 "$scratch"
  exec 9>"$scratch/lock"
  flock 9
  throw_away_postgres "$(random_secret)"
  throw_away_redis "$(random_secret)"
  say "throw-away PostgreSQL and Redis run in $scratch"
}

# A free port can be lost between looking and binding, so each start gets three tries.
throw_away_postgres() {
  local port secret=$1
  postgres_make_home "$scratch/postgres"
  for _ in 1 2 3; do
    port=$(free_port)
    if postgres_start "$scratch/postgres" "$port" "$secret" \
      fsync=off full_page_writes=off synchronous_commit=off max_connections=300; then
      export DATABASE_URL="postgres://muneem:$secret@127.0.0.1:$port/muneem"
      return
    fi
  done
  die "the throw-away PostgreSQL did not start, see above"
}

throw_away_redis() {
  local port secret=$1
  for _ in 1 2 3; do
    port=$(free_port)
    if redis_start "$scratch/redis" "$port" "$secret" 'save ""' "appendonly no"; then
      export REDIS_URL="redis://:$secret@127.0.0.1:$port/0"
      return
    fi
  done
  die "the throw-away Redis did not start, see above"
}

throw_away_stop() {
  [[ -n $scratch ]] || return 0
  redis_stop "$scratch/redis"
  postgres_stop "$scratch/postgres"
  rm -rf "$scratch"
  scratch=
}

# Tests must mean the same on every machine: no setting of the caller's may reach them.
forget_settings() {
  unset "${!MUNEEM_@}" PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE PGOPTIONS PGPASSFILE
}

nextest_version=0.9.143

# need_nextest: installs the test runner where it is missing. Tests mostly wait for servers, databases and clocks, so
# that twice as many run at once as there are cores.
need_nextest() {
  export NEXTEST_TEST_THREADS=$((2 * $(nproc)))
  cargo nextest --version >/dev/null 2>&1 && return
  say "installing cargo-nextest $nextest_version, once (takes some minutes)"
  attended cargo install cargo-nextest --version "$nextest_version" --locked
}

# ---------------------------------------------------------------------------------------------------
# The server that `make run` started

server_pid() {
  local pid
  pid=$(cat "$run_dir/muneem.pid" 2>/dev/null) || return 1
  # A rebuild replaces the file under a running server, and the kernel then says "(deleted)".
  [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/exe" 2>/dev/null) == */muneem?( \(deleted\)) ]] || return 1
  echo "$pid"
}

server_stop() {
  local pid
  if pid=$(server_pid); then
    kill -TERM "$pid" 2>/dev/null || true
    wait_until 20 gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$run_dir/muneem.pid"
}

# Whatever of this project still runs, in the order in which each may lose the next. Both places are looked
# at, for the folder may have become passable since.
stop_services() {
  server_stop
  redis_stop "$run_dir/redis"
  postgres_stop "$run_dir/postgres"
  if ((EUID == 0)); then postgres_stop "$(postgres_outside)/postgres"; fi
}

# The lock is held, on descriptor 9, by `make run` for as long as it lives, and by nothing that it starts.
run_is_alive() {
  [[ -e $lock_file ]] && ! flock -n "$lock_file" true 2>/dev/null
}

# Throw-away instances of a `make test` that was killed: each holds the lock in its folder while it lives.
sweep_tests() {
  local dir
  for dir in /dev/shm/muneem-test.* "${TMPDIR:-/tmp}"/muneem-test.*; do
    [[ -d $dir && ! -L $dir && -O $dir && -e $dir/lock ]] || continue
    flock -n "$dir/lock" true || continue
    redis_stop "$dir/redis"
    postgres_stop "$dir/postgres"
    rm -rf "$dir"
  done
}
