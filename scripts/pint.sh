#!/usr/bin/env bash
# Lints the Prometheus rules with pint (cloudflare/pint), built from the Go module proxy into build/pint/. Any warning fails.
#   scripts/pint.sh [RULE_FILE...]      default: prometheus/rules/*.yml
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=v0.69.1
FOLDER=build/pint
BINARY=$FOLDER/pint-$VERSION

if ! command -v go >/dev/null; then
    echo "pint.sh: Go is not on the PATH, so the rules were NOT linted; install Go 1.24 or later" >&2
    exit 3
fi
if [ ! -x "$BINARY" ]; then
    # `go build` inside a module of its own, because `go install pkg@version` also wants the list of all versions.
    mkdir -p "$FOLDER/module"
    printf 'module lint\n\ngo 1.23\n\nrequire github.com/cloudflare/pint %s\n' "$VERSION" >"$FOLDER/module/go.mod"
    (cd "$FOLDER/module" && GOFLAGS=-mod=mod go build -o "../pint-$VERSION" github.com/cloudflare/pint/cmd/pint)
fi

if [ $# -eq 0 ]; then set -- prometheus/rules/*.yml; fi
"$BINARY" --no-color --offline lint --fail-on=info --min-severity=info "$@"
