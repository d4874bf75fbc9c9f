#!/usr/bin/env bash
# `make fresh-check`: makes a bare Debian in .muneem/fresh-check (debootstrap, with git, make, sudo and this
# machine's Rust added) and does in it, as an ordinary user, what the README promises: `make run`, the demo,
# verify, Ctrl-C, and `make test`. Takes the commit that is checked out. Run it before each release.
#
# Wants root and debootstrap. Nothing outside the folder is touched; the folder is removed at the end, save
# for the downloaded Debian packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/services.sh

home="$root/.muneem/fresh-check"
system="$home/system"

if [[ ${1:-} != --inside ]]; then
  ((EUID == 0)) || die "fresh-check makes a Debian system in a folder, which takes root: sudo make fresh-check"
  command -v debootstrap >/dev/null || die "debootstrap is missing; apt-get install debootstrap"
  need_cargo
  [[ -z $(git status --porcelain --untracked-files=no) ]] ||
    say "what is not committed is left out: fresh-check takes the commit that is checked out"
  # Mounts and processes end with this command, however it ends.
  exec unshare --mount --pid --fork --kill-child "$0" --inside
fi

finish() {
  local mounted
  # The deepest first. The folder must not be removed while the devices of this machine are mounted in it.
  mounted=$(awk -v under="$system/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r)
  [[ -z $mounted ]] || xargs -r umount -l <<<"$mounted"
  rm -rf --one-file-system "$system"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
say "making a bare Debian $codename in $system"
rm -rf --one-file-system "$system"
mkdir -p "$home/packages"
debootstrap --variant=minbase --cache-dir="$home/packages" --include=ca-certificates,git,make,sudo \
  "$codename" "$system" >"$home/debootstrap.log" 2>&1 ||
  { tail -n 20 "$home/debootstrap.log" >&2 && die "debootstrap failed, see above"; }

say "adding this machine's Rust, its certificates and an ordinary user with sudo"
mkdir -p "$system/opt/rust"
cp -a "$(rustc --print sysroot)/." "$system/opt/rust/"
# Debian's own entries are links with absolute targets, which would be followed out of the folder.
rm -rf "$system/etc/ssl/certs"
cp -aL /etc/ssl/certs "$system/etc/ssl/certs"
cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
chroot "$system" useradd --create-home --shell /bin/bash fresh
echo 'fresh ALL=(ALL) NOPASSWD: ALL' >"$system/etc/sudoers.d/fresh"
git clone --quiet "$root" "$system/home/fresh/muneem"
chroot "$system" chown -R fresh: /home/fresh/muneem

mount -t proc proc "$system/proc"
for device in null zero full random urandom tty; do
  touch "$system/dev/$device"
  mount --bind "/dev/$device" "$system/dev/$device"
done
mkdir -p "$system/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$system/dev/shm"

# as_fresh <script>: runs it as the ordinary user, in the clone.
as_fresh() {
  chroot "$system" su - fresh -c "export PATH=/opt/rust/bin:\$PATH; cd ~/muneem; $1"
}

say "make run, the demo, verify, Ctrl-C"
# shellcheck disable=SC2016 # expanded inside
as_fresh '
  set -m
  make run >~/run.log 2>&1 &
  run=$!
  until grep -q "serves on" ~/run.log; do
    if [ ! -e /proc/$run ]; then tail -n 40 ~/run.log; exit 1; fi
    sleep 1
  done
  make demo && make verify && make doctor || exit 1
  kill -INT -- -$run
  wait $run
  # make itself adds a line that says it was interrupted.
  tail -n 2 ~/run.log | grep -q "stopped; the data stay" || { tail -n 5 ~/run.log; exit 1; }
' || die "the README's first command does not hold on a bare Debian, see above"

say "make test"
as_fresh 'CI=true make test' || die "the README's second command does not hold on a bare Debian, see above"
say "fresh-check: both commands hold on a bare Debian $codename, as an ordinary user"
