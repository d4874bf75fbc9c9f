#!/usr/bin/env bash
# `make test`: everything that CI runs, on a throw-away PostgreSQL and Redis. Stops at the first failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
exec </dev/null

steps=8
step=0
step_name=
began=$SECONDS

finish() {
  local status=$?
  # The terminal may be gone, and then writing to it fails: that must not keep anything from stopping.
  set +e
  trap '' INT TERM HUP PIPE
  trap - EXIT
  stop_attended
  throw_away_stop
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
install_missing postgres redis cc venv
# Nobody debugs what CI builds, and nobody builds it again there.
if [[ ${CI:-} == true ]]; then export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0; fi

forget_settings
throw_away_start

# Traces of async code are pages long and say little; a failure names its line without them.
export RUST_BACKTRACE=0
tests=(cargo nextest run --workspace --locked)
if ! need_nextest; then
  say "cargo-nextest could not be installed; the tests run under plain cargo test instead"
  tests=(cargo test --workspace --locked --lib --bins --tests)
fi

check "formatting" cargo fmt --all --check
check "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
# Tests start the real binary, as an operator would. The same packages and targets as the tests have: with
# `-p muneem` alone some libraries have fewer features, and half of the workspace would be compiled twice.
check "the binary and the tests" cargo build --workspace --bins --tests --locked
check "tests" "${tests[@]}"
check "generated schemas equal the committed ones" "$target_dir/debug/muneem" schemas --check
check "examples in the documentation" cargo test --workspace --doc --locked
check "documents, generated clients and the TypeScript client" scripts/web.sh
check "the deployment of docker-compose.yml, without Docker" scripts/deploy.sh
