#!/usr/bin/env bash
# `make test-repeat N=10`: runs the whole suite N times while every core is kept busy by something else, and
# fails if any run fails. A test that passes only on a quiet machine is a fault to find.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
exec </dev/null

runs=${1:-10}
[[ $runs =~ ^[1-9][0-9]*$ ]] || die "usage: make test-repeat N=10"
passed=0
burners=()

finish() {
  local status=$?
  set +e
  trap '' INT TERM HUP PIPE
  trap - EXIT
  stop_attended
  ((${#burners[@]} == 0)) || kill "${burners[@]}" 2>/dev/null
  throw_away_stop
  printf '\nmake test-repeat: passed %d of %d\n' "$passed" "$runs"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

need_cargo
install_missing postgres redis cc
forget_settings
throw_away_start
export RUST_BACKTRACE=0
need_nextest || die "cargo-nextest could not be installed"

say "building"
attended cargo build --workspace --bins --tests --locked
cores=$(nproc)
for ((core = 0; core < cores; core++)); do
  (trap - EXIT INT TERM; while :; do :; done) 9>&- &
  burners+=($!)
done
say "$cores loops keep the cores busy"

for ((run = 1; run <= runs; run++)); do
  began=$SECONDS
  if attended cargo nextest run --workspace --locked --no-fail-fast; then
    passed=$((passed + 1))
    say "run $run of $runs passed in $((SECONDS - began)) s"
  else
    say "run $run of $runs FAILED after $((SECONDS - began)) s"
  fi
done
((passed == runs))
