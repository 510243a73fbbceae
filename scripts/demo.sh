#!/usr/bin/env bash
# Brings the demo up from this checkout; arguments go to `asahi-obs demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/asahi-obs demo "$@"
