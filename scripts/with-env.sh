#!/usr/bin/env bash
# Runs a command with the environment of what `make run` started, for example:
#   scripts/with-env.sh muneem events --help
#   scripts/with-env.sh sh -c 'psql "$DATABASE_URL"'
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"
(($#)) || die "usage: scripts/with-env.sh <command> [arguments]"

run_is_alive || die "nothing is running; start it in another terminal with: make run"
[[ -r $env_file || ! -e $env_file ]] || die "$env_file is not readable for $(id -un); use the account that ran make run"
server_pid >/dev/null || die "make run is still building or starting; try again when it says what runs where"

while IFS= read -r line; do
  export "${line?}"
done <"$env_file"
host=${MUNEEM_URL#http://}
# The server listens after its replay; a story that came earlier would fail for no reason.
wait_until 60 port_taken "${host%:*}" "${host##*:}" ||
  die "the server does not answer on $MUNEEM_URL; look at the terminal of make run"

PATH="$target_dir/debug:$PATH"
exec "$@"
