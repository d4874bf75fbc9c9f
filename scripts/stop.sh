#!/usr/bin/env bash
# `make stop`: ends a running `make run` and whatever a killed one left behind.
# With --clean-data it then removes .muneem/run: the journal, the database, Redis and the keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh

if [[ -d $run_dir ]]; then
  [[ -O $run_dir ]] || ((EUID == 0)) ||
    die "$run_dir belongs to $(stat -c %U "$run_dir"); try again as that account, or with sudo"
  if run_is_alive; then
    pid=$(cat "$lock_file")
    say "ending make run (process $pid)"
    kill -TERM "$pid" 2>/dev/null || true
  fi
  # The lock keeps a new `make run` from starting in the middle of this.
  exec 9>>"$lock_file"
  flock -w 60 9 || die "make run (process $(cat "$lock_file")) does not end; kill -9 it, then: make stop"
  stop_services
fi
sweep_tests

if [[ ${1:-} == --clean-data ]]; then
  rm -rf "$run_dir"
  outside=$(postgres_outside)
  if [[ -O $outside && ! -L $outside ]]; then rm -rf "$outside"; fi
  say "stopped, and the data of make run are removed"
else
  say "stopped"
fi
