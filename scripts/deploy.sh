#!/usr/bin/env bash
# A step of `make test`: docker-compose.yml, Dockerfile and deploy/Caddyfile please their linters, and what they describe
# is started without Docker: five nodes with the settings of the file, and the proxy. Says what it had to leave out.
#
# Wants the binary built, and DATABASE_URL and REDIS_URL of throw-away servers. What it installs stays in .muneem/deploy
# and deploy/node_modules.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
source scripts/tools.sh

[[ -n ${DATABASE_URL:-} && -n ${REDIS_URL:-} ]] || die "deploy.sh is a step of make test, which starts the servers that it wants"
[[ -x $target_dir/debug/muneem ]] || die "$target_dir/debug/muneem is missing; make test builds it"

home="$root/.muneem/deploy"
mkdir -p "$home"
need_python deploy/requirements.txt
# scripts/web.sh brings Node where the machine has none, or an old one.
need_node "$root/.muneem/web/python/bin"
need_node_packages deploy

tools="$home/python/bin"
quietly "docker-compose.yml keeps to the schema of compose files" \
  "$tools/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml
quietly "dockerfile-utils finds nothing in Dockerfile" deploy/node_modules/.bin/dockerfile-utils lint Dockerfile
quietly "deploy/Caddyfile is written as Caddy writes it" "$tools/caddy" fmt --diff deploy/Caddyfile

# Every demanded setting has a value, as a filled-in .env would give it.
filled="$home/env"
sed -nE 's/^([A-Z_]+)=$/\1=filled/p' .env.example >"$filled"
if docker compose version >/dev/null 2>&1; then
  for profile in '' eventstoredb; do
    quietly "docker compose takes docker-compose.yml${profile:+ with the profile $profile}" \
      env COMPOSE_PROFILES="$profile" docker compose --env-file "$filled" config --quiet
  done
else
  say "SKIPPED: docker compose config; this machine has no docker compose"
fi
if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  quietly "docker build --check finds nothing in Dockerfile" docker build --check .
else
  say "SKIPPED: docker build --check; this machine has no engine of Docker"
fi

PSQL=$(postgres_bin)/psql CADDY="$tools/caddy" MUNEEM_BINARY="$target_dir/debug/muneem" \
  quietly "five nodes and the proxy do what docker-compose.yml promises" \
  "$tools/python" -B deploy/test_deployment.py --verbose
