#!/usr/bin/env bash
# Runs every test against real parts, with the race detector; starts the parts and stops them again.
#
#   test/run.sh [PACKAGE…]     default ./...
#
# Two packages at a time, which is two cores: most tests wait for what real shells and engines do. Those that take longest
# come first, so that none of them is left to run by itself; exec.sh tells which of them go before the others.
# TestGeneratedRun comes last and alone: it counts how often a line is read as a person's would be, on a machine that is
# not overrun.
#
# PODBASTION_REAL_KEEP=1 leaves the parts running for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...

# What Debian's packages bring is what is tested, not a wrapper of the same name that stands before it in a developer's PATH.
export PATH=$(dirname "$(command -v go)"):/usr/sbin:/usr/bin:/sbin:/bin:$PATH

test/real/real.sh packages
export PODBASTION_REAL=${PODBASTION_REAL:-/tmp/podbastion-real-$$}
home=$(mktemp -d)
trap 'rm -rf "$home"; [ -n "${PODBASTION_REAL_KEEP:-}" ] || test/real/real.sh down' EXIT
parts=$(test/real/real.sh up) # apart, so that a part that does not start ends the run
eval "$parts"

make build
export PODBASTION_BIN=$PWD/bin
go vet -tags real ./... # which leaves no file out
# Shells and programs that the tests start read no start files of whoever runs the tests.
for name in GOCACHE GOMODCACHE GOPATH GOENV; do export "$name=$(go env "$name")"; done
export HOME=$home
module=github.com/podbastion/podbastion
long=$(printf '%s\n' "$module"/{test/files,bastion/guard,bastion,test/e2e,bastion/bridge})
all=$(go list -tags real "$@")
alone='^TestGeneratedRun$'
run() { # PACKAGES, as lines, and more flags
  local packages=$1
  shift
  [ -z "$packages" ] || xargs go test -json -race -vet=off -tags real -count=1 -timeout 25m -p 2 -exec "$PWD/test/exec.sh" "$@" <<<"$packages" || failed=1 # the summary tells which
}
{
  run "$(grep -xF "$all" <<<"$long" || true; grep -vxF "$long" <<<"$all" || true)" -skip "$alone"
  run "$(grep -x "$module/test/e2e" <<<"$all" || true)" -run "$alone"
  exit "${failed:-0}"
} | go run ./test/summary
