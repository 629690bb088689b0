#!/usr/bin/env bash
# Every benchmark: of single packages, and of the built binaries against their peers in the same run.
#
#   test/bench.sh            prints Go benchmark lines
set -euo pipefail
cd "$(dirname "$0")/.."
test/real/real.sh packages
export PODBASTION_REAL=${PODBASTION_REAL:-/tmp/podbastion-real-$$}
[ -n "${PODBASTION_REAL_KEEP:-}" ] || trap 'test/real/real.sh down' EXIT
eval "$(test/real/real.sh up)"
export PODBASTION_BIN=$PWD/bin
go test -run '^$' -bench . -benchtime 2s $(go list ./... | grep -v /test/)
go test -tags real -run '^$' -bench 'LoginToExit|Logins' -benchtime 5s ./test/e2e
go test -tags real -run '^$' -bench Keystroke -benchtime 400x ./test/e2e
go test -tags real -run '^$' -bench Bulk -benchtime 3x ./test/e2e
go test -tags real -run '^$' -bench 'Idle' -benchtime 1x ./test/e2e
go test -tags real -run '^$' -bench 'TransferBulk|TransferSmall' -benchtime 3x -timeout 60m ./test/files
go test -tags real -run '^$' -bench 'TransferAnsible' -benchtime 2x -timeout 60m ./test/files
go test -tags real -run '^$' -bench 'TransferMemory' -benchtime 1x -timeout 60m ./test/files
