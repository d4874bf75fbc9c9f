#!/usr/bin/env bash
# `make test`: everything that CI runs, on a throw-away PostgreSQL and Redis. Stops at the first failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
exec </dev/null

nextest_version=0.9.143
steps=6
step=0
step_name=
began=$SECONDS
scratch=

finish() {
  local status=$?
  # The terminal may be gone, and then writing to it fails: that must not keep anything from stopping.
  set +e
  trap '' INT TERM HUP PIPE
  trap - EXIT
  stop_attended
  if [[ -n $scratch ]]; then
    redis_stop "$scratch/redis"
    postgres_stop "$scratch/postgres"
    rm -rf "$scratch"
  fi
  if ((status == 0)); then
    printf '\nmake test: passed, %d steps in %d s\n' "$step" "$((SECONDS - began))"
  else
    printf '\nmake test: FAILED at step %d/%d, %s, after %d s\n' "$step" "$steps" "${step_name:-preparation}" "$((SECONDS - began))" >&2
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# check <what it shows> <command...>
check() {
  step_name=$1
  shift
  step=$((step + 1))
  printf '\n==> [%d/%d] %s (at %d s)\n    %s\n' "$step" "$steps" "$step_name" "$((SECONDS - began))" "$*"
  attended "$@"
}

need_cargo
cargo fmt --version >/dev/null 2>&1 || die "rustfmt is missing; rustup component add rustfmt, then try again"
cargo clippy --version >/dev/null 2>&1 || die "clippy is missing; rustup component add clippy, then try again"
install_missing postgres redis cc
if [[ ${CI:-} == true ]]; then export CARGO_INCREMENTAL=0; fi

# Tests must mean the same on every machine: no setting of the caller's may reach them.
unset "${!MUNEEM_@}" PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE PGOPTIONS PGPASSFILE

# In memory where it can be: the tests make a database each, and none of them outlives the run.
sweep_tests
base=${TMPDIR:-/tmp}
if [[ -d /dev/shm && -w /dev/shm ]]; then base=/dev/shm; fi
scratch=$(mktemp -d "$base/muneem-test.XXXXXXXX")
chmod 711 "$scratch"
exec 9>"$scratch/lock"
flock 9
secret=$(random_secret)

# A free port can be lost between looking and binding, so each start gets some tries.
start_postgres() {
  local port
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
start_redis() {
  local port
  for _ in 1 2 3; do
    port=$(free_port)
    if redis_start "$scratch/redis" "$port" "$secret" 'save ""' "appendonly no"; then
      export REDIS_URL="redis://:$secret@127.0.0.1:$port/0"
      return
    fi
  done
  die "the throw-away Redis did not start, see above"
}
start_postgres
start_redis
say "throw-away PostgreSQL and Redis run in $scratch"

# Traces of async code are pages long and say little; a failure names its line without them.
export RUST_BACKTRACE=0
tests=(cargo nextest run --workspace --locked)
if ! cargo nextest --version >/dev/null 2>&1; then
  say "installing cargo-nextest $nextest_version, once (takes some minutes)"
  attended cargo install cargo-nextest --version "$nextest_version" --locked || {
    say "cargo-nextest could not be installed; the tests run under plain cargo test instead"
    tests=(cargo test --workspace --locked --lib --bins --tests)
  }
fi

check "formatting" cargo fmt --all --check
check "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
# Tests start the real binary, as an operator would. The same packages and targets as the tests have: with
# `-p muneem` alone some libraries have fewer features, and half of the workspace would be compiled twice.
check "the binary and the tests" cargo build --workspace --bins --tests --locked
check "tests" "${tests[@]}"
check "generated schemas equal the committed ones" "$target_dir/debug/muneem" schemas --check
check "examples in the documentation" cargo test --workspace --doc --locked
