#!/usr/bin/env bash
# `make mutants`: proves that the tests can fail. Each patch under tests/mutants/ breaks the real code in one
# way and names the tests that must catch it; the run fails if a broken program passes them.
#
#   make mutants                  all of them
#   make mutants ONLY=clock       those whose file name has this part
#
# Works on a copy of the tree in .muneem/mutants, with a build folder of its own that is kept for next time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh
exec </dev/null

only=${1:-}
home="$root/.muneem/mutants"
copy="$home/tree"
caught=0
survived=()

finish() {
  local status=$?
  set +e
  trap '' INT TERM HUP PIPE
  trap - EXIT
  stop_attended
  throw_away_stop
  rm -rf "$copy"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# in_copy <command...>: runs it in the copy of the tree.
in_copy() { attended env -C "$copy" "$@"; }

# apply [-R] <patch>: the copy is no repository of its own, and must not be taken for part of this one.
apply() { GIT_CEILING_DIRECTORIES=$home git -C "$copy" apply "$@"; }

# header <patch> <name>: the text of a header line such as "Caught by: ...".
header() { sed -n "s/^$2: //p;/^diff /q" "$1"; }

need_cargo
command -v git >/dev/null || die "git is missing; apt-get install git"
install_missing postgres redis cc
forget_settings
throw_away_start
export RUST_BACKTRACE=0 CARGO_TARGET_DIR="$home/target"
need_nextest || die "cargo-nextest could not be installed"

patches=()
for patch in tests/mutants/*.patch; do
  [[ -e $patch && $patch == *"$only"* ]] && patches+=("$patch")
done
((${#patches[@]})) || die "no patch under tests/mutants has ${only:-a name} in its name"

# The files as they are now, committed or not; with the time of now (-m), or cargo would take what the last run broke
# for built from them.
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [[ ! -f $file ]] || printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -xmf - -C "$copy"

# tests_of <patch>: sets `run` to the command that runs the tests which the patch names. Stories about the whole program
# start its binary, which is built before; other tests need their own package alone.
tests_of() {
  local words word packages=() names=() whole=
  read -ra words <<<"$(header "$1" 'Caught by')"
  ((${#words[@]})) || die "$1 names no tests: it needs a line 'Caught by: -p <package> <test>'"
  for word in "${words[@]}"; do
    case $word in
      -p) ;;
      integration-tests) whole=yes && packages+=("package($word)") ;;
      *) if grep -qx "name = \"$word\"" ./*/Cargo.toml; then packages+=("package($word)"); else names+=("test($word)"); fi ;;
    esac
  done
  run=(cargo nextest run --locked --cargo-quiet)
  if [[ -n $whole ]]; then
    ((${#names[@]})) || names=("all()")
    run+=(--workspace -E "($(joined "${packages[@]}")) & ($(joined "${names[@]}"))")
  else
    run+=("${words[@]}")
  fi
}

# joined <expression...>: one of them.
joined() { local IFS='|' && echo "$*"; }

# build_for_stories: the binary and the tests, when `run` needs them.
build_for_stories() {
  [[ " ${run[*]} " != *" --workspace "* ]] || in_copy cargo build --workspace --bins --tests --locked --quiet
}

# On the unbroken program the tests must pass, or their failure on a broken one would say nothing.
say "the tests that the patches name, on the unbroken program"
in_copy cargo build --workspace --bins --tests --locked --quiet
for patch in "${patches[@]}"; do
  tests_of "$patch"
  if ! in_copy "${run[@]}" >"$home/log" 2>&1; then
    tail -n 30 "$home/log"
    die "${run[*]} does not pass on the unbroken program"
  fi
done

number=0
for patch in "${patches[@]}"; do
  number=$((number + 1))
  name=$(basename "$patch" .patch)
  printf '[%d/%d] %s: %s\n' "$number" "${#patches[@]}" "$name" "$(header "$patch" Breaks)"
  tests_of "$patch"
  apply "$root/$patch" || die "$patch does not apply any more; make it again from the code as it is"
  if ! build_for_stories >"$home/log" 2>&1; then
    tail -n 30 "$home/log"
    die "$patch breaks the build, not the behaviour"
  fi
  status=0
  in_copy "${run[@]}" >"$home/log" 2>&1 || status=$?
  # 100 is nextest's word for "tests ran, and some failed".
  case $status in
    100) caught=$((caught + 1)) && printf '        caught by %s\n' "$(sed -nE 's/^ +(FAIL|TIMEOUT|ABORT|SIGABRT) \[[^]]*\] (\([^)]*\) )?//p' "$home/log" | head -n 1)" ;;
    0) survived+=("$name") && printf '        SURVIVED %s\n' "${run[*]}" ;;
    *) tail -n 30 "$home/log" && die "the tests of $patch could not be run; does it break the build?" ;;
  esac
  apply -R "$root/$patch"
done

printf '\nmake mutants: %d caught, %d survived\n' "$caught" "${#survived[@]}"
((${#survived[@]} == 0)) || die "not caught: ${survived[*]}"
