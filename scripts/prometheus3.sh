#!/usr/bin/env bash
# Runs the rules' tests and the integration tests on Prometheus 3, built from the Go module proxy into build/prometheus3/.
#   scripts/prometheus3.sh [PYTEST_ARGUMENT...]      default: tests/integration
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=v0.313.5 # of the module; the release is 3.13.5
FOLDER=build/prometheus3
BINARIES=$FOLDER/$VERSION

if ! command -v go >/dev/null; then
    echo "prometheus3.sh: Go is not on the PATH, so NOTHING was tested on Prometheus 3; install Go 1.26 or later" >&2
    exit 3
fi
for program in prometheus promtool; do
    [ -x "$BINARIES/$program" ] && continue
    # `go build` inside a module of its own, because `go install pkg@version` refuses a module that replaces others.
    mkdir -p "$FOLDER/module" "$BINARIES"
    [ -e "$FOLDER/module/go.mod" ] || (cd "$FOLDER/module" && go mod init compatibility)
    (
        cd "$FOLDER/module"
        go get "github.com/prometheus/prometheus/cmd/$program@$VERSION"
        go build -o "../$VERSION/$program" "github.com/prometheus/prometheus/cmd/$program"
    )
done

PATH=$PWD/$BINARIES:$PATH
export PATH
promtool check rules prometheus/rules/*.yml
for tests in prometheus/tests/*.yml; do promtool test rules "$tests"; done
if [ $# -eq 0 ]; then set -- tests/integration; fi
.venv/bin/pytest -q "$@"
