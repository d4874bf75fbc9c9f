# Tools that checks install for themselves, from lists in the repository; they are taken again while the lists are
# unchanged. Sourced by web.sh and deploy.sh, which set `home`, the folder for it all; it only defines things.
# shellcheck shell=bash

# quietly <what> <command...>: its output is shown only where it fails.
quietly() {
  local began=$SECONDS log="$home/log"
  if ! "${@:2}" >"$log" 2>&1; then
    cat "$log" >&2
    die "$1: failed, see above"
  fi
  say "$1 ($((SECONDS - began)) s)"
}

# unchanged <stamp> <file...>: whether the stamp was made of these files as they are.
unchanged() { [[ -e $1 && $(cat "$1") == "$(stamp_of "${@:2}")" ]]; }
stamp_of() { cat "$@" | sha256sum; }

# need_python <requirements>: a Python environment with these packages, in $home/python.
need_python() {
  unchanged "$home/python/stamp" "$1" || quietly "Python packages of $1 installed" install_python "$1"
}

# Each step of these functions must hold for the next: errexit does not work in what `quietly` runs.
install_python() {
  local python="$home/python"
  install_missing venv &&
    rm -rf "$python" &&
    python3 -m venv "$python" &&
    "$python/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" &&
    stamp_of "$1" >"$python/stamp"
}

# need_node_packages <folder>
need_node_packages() {
  unchanged "$1/node_modules/stamp" "$1/package-lock.json" ||
    quietly "Node packages of $1 installed" install_node_packages "$1"
}

install_node_packages() {
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error) &&
    stamp_of "$1/package-lock.json" >"$1/node_modules/stamp"
}

# need_node <folder of another one>: the Node of the machine, if it is new enough.
need_node() {
  local roots=/etc/ssl/certs/ca-certificates.crt
  # The TypeScript client wants a WebSocket of Node's own, which came with version 22.
  command -v node npm >/dev/null && (($(node -p 'parseInt(process.versions.node)') >= 22)) || PATH="$1:$PATH"
  # Node brings a list of roots of its own. What the system trusts beside them, such as a company's, it is told.
  [[ ! -r $roots ]] || export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$roots}
}
