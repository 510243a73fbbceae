#!/usr/bin/env bash
# Makes the machine ready: a virtual environment with the pinned dependencies, and the system programs.
# Usage: scripts/setup.sh run|test|bench     (PYTHON=python3.12 picks another interpreter)
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-run}
python=${PYTHON:-python3}
venv=.venv
case $kind in
    run) extras=analytics; programs="prometheus promtool alertmanager" ;;
    test) extras=test; programs="prometheus promtool alertmanager amtool victoria-metrics chromium libatomic docker-compose" ;;
    bench) extras=bench; programs="prometheus promtool" ;;
    *) echo "setup: '$kind' is not known; say run, test or bench" >&2; exit 2 ;;
esac

bold= plain=
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }
say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Debian calls some programs by other names than their makers do.
have() {
    case $1 in
        alertmanager) command -v alertmanager || command -v prometheus-alertmanager ;;
        victoria-metrics) command -v victoria-metrics || command -v victoria-metrics-prod ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        libatomic) "$python" -c 'import ctypes; ctypes.CDLL("libatomic.so.1")' ;; # what drives the browser needs it
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

package_of() {
    case $1 in
        prometheus | promtool) echo prometheus ;;
        alertmanager | amtool) echo prometheus-alertmanager ;;
        libatomic) echo libatomic1 ;;
        python) echo python3 python3-venv ;;
        *) echo "$1" ;;
    esac
}

# Without a terminal nobody can be asked for a password.
may_sudo() { command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }

# Installs system packages without starting the services that they bring, now or at the next boot (we start our own, on
# loopback, on the same ports). What is said on the way is shown only if it fails.
install() {
    local as_root=() policy=/usr/sbin/policy-rc.d made= package words
    words=$(mktemp)
    command -v apt-get >/dev/null 2>&1 ||
        fail "missing: $*. This machine has no apt-get: install them by your system's means, or use 'docker compose up'"
    say "Installing system packages: $*"
    if [ "$(id -u)" -ne 0 ]; then
        may_sudo || fail "only root may install packages. As root, run: apt-get install --no-install-recommends $*
setup: (Debian starts the servers it installs, on ports that the demo wants: systemctl disable --now prometheus prometheus-alertmanager)
setup: then try again"
        as_root=(sudo)
    fi
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        made=yes
    fi
    local status=0
    "${as_root[@]}" apt-get update -qq >"$words" 2>&1 || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends "$@" >>"$words" 2>&1 || status=$?
    [ -z "$made" ] || "${as_root[@]}" rm -f "$policy"
    [ "$status" -eq 0 ] || cat "$words" >&2
    rm -f "$words"
    [ "$status" -eq 0 ] || fail "apt-get could not install: $*. Its own words are above"
    for package in "$@"; do
        case $package in
            prometheus | prometheus-alertmanager | victoria-metrics)
                ! command -v systemctl >/dev/null 2>&1 || "${as_root[@]}" systemctl disable --quiet "$package" >/dev/null 2>&1 || true
                ;;
        esac
    done
}

missing=()
command -v "$python" >/dev/null 2>&1 && "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=($(package_of python))
for program in $programs; do
    have "$program" || missing+=("$(package_of "$program")")
done
if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install "${missing[@]}"
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, but $python is $("$python" -V 2>&1); name another: PYTHON=python3.12 make $kind"
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then # none yet, or one whose making was interrupted
    say "Making the virtual environment $venv"
    "$python" -m venv "$venv"
fi
say "Installing the pinned dependencies ($extras)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]" ||
    fail "pip could not install the dependencies; its own words are above. Once that is mended, run the same command again"
touch "$venv/.$kind"
# Tests install whatever a plain run needs; benchmarks do without Alertmanager.
[ "$kind" != test ] || touch "$venv/.run"
