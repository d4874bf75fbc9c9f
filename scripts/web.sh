#!/usr/bin/env bash
# A step of `make test`: the documents in schemas/ please two linters and two client generators, the TypeScript client is
# built and tested against the real server, and the server's pages are looked at in a real browser. Says little unless
# something fails.
#
# Wants the binary built, and DATABASE_URL and REDIS_URL of throw-away servers. What it installs stays in
# .muneem/web and in the node_modules folders, and is taken again while its lists are unchanged.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
source scripts/tools.sh

[[ -n ${DATABASE_URL:-} && -n ${REDIS_URL:-} ]] || die "web.sh is a step of make test, which starts the servers that it wants"
[[ -x $target_dir/debug/muneem ]] || die "$target_dir/debug/muneem is missing; make test builds it"

home="$root/.muneem/web"
mkdir -p "$home"

# The Python environment brings the generator, and Node for machines that have none.
python="$home/python"
need_python schemas/lint/requirements.txt
need_node "$python/bin"
for folder in schemas/lint clients/typescript tests/pages; do
  need_node_packages "$folder"
done

# Neither linter is to tell anybody that it ran.
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true SCARF_ANALYTICS=false
lint=schemas/lint/node_modules/.bin
quietly "Redocly finds nothing in openapi.json" \
  "$lint/redocly" lint schemas/openapi.json --config schemas/lint/redocly.yaml
quietly "Spectral finds nothing in openapi.json and asyncapi.json" \
  "$lint/spectral" lint --ruleset schemas/lint/.spectral.yaml --fail-severity warn schemas/openapi.json schemas/asyncapi.json

generate_python() {
  "$python/bin/openapi-python-client" generate --path schemas/openapi.json --output-path "$home/python-client" \
    --overwrite --meta none --fail-on-warning --config schemas/lint/openapi-python-client.yaml &&
    # Each of its modules can be read.
    (cd "$home" && "$python/bin/python" -c '
import importlib, pathlib, sys
sys.path.insert(0, ".")
pathlib.Path("python_client").exists() or pathlib.Path("python_client").symlink_to("python-client")
for file in sorted(pathlib.Path("python_client").rglob("*.py")):
    importlib.import_module(".".join(file.with_suffix("").parts))
')
}
quietly "openapi-python-client makes a client that can be imported" generate_python

quietly "openapi-typescript's types and the client on them compile" npm --prefix clients/typescript run --silent build

psql=$(postgres_bin)/psql
database="web_$$"
sql() { "$psql" -XAtq "$DATABASE_URL" -c "$1"; }
drop_database() { sql "drop database if exists $database with (force)"; }
trap drop_database EXIT
# tests_of <folder>: with the server's binary and a database of their own.
tests_of() {
  drop_database && sql "create database $database" &&
    DATABASE_URL="${DATABASE_URL%/*}/$database" MUNEEM_BINARY="$target_dir/debug/muneem" npm --prefix "$1" test --silent
}
quietly "the client's tests pass against the real server" tests_of clients/typescript
install_missing chromium
quietly "the server's pages show what they should in Chromium" tests_of tests/pages
