#!/usr/bin/env bash
# Makes a checkout ready to work: system packages (installed when we are root, named when we
# are not), .venv with the hash-pinned packages, and homeport itself, editable.
# Idempotent: with nothing to do it takes a fraction of a second.
# Usage: tools/setup.sh [bench]     `bench` adds what only `make bench` needs.
set -euo pipefail
cd "$(dirname "$0")/.."

group=${1:-dev}
venv=.venv

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

# --- Python ---------------------------------------------------------------------------------

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

# --- system packages ------------------------------------------------------------------------

# DOCKER_HOST means: an engine somewhere else, which is none of our business here.
needs_engine() {
    [ -z "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ] && ! command -v dockerd >/dev/null 2>&1
}

missing_packages() {
    local python=$1
    [ -n "$python" ] || echo python3
    # A distribution's Python may come without ensurepip, which venv needs.
    [ -n "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v busybox >/dev/null 2>&1 || echo busybox-static
    ! needs_engine || echo docker.io iptables iproute2 ca-certificates
}

install_packages() {
    local packages=("$@")
    local by_hand="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
    command -v apt-get >/dev/null 2>&1 ||
        die "please install these with your package manager, then run make again: ${packages[*]}"
    [ "$(id -u)" -eq 0 ] || die "these packages are missing; run:  sudo sh -c '$by_hand'"
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

python=$(find_python)
read -r -a packages <<<"$(missing_packages "$python" | tr '\n' ' ')"
if [ ${#packages[@]} -gt 0 ]; then
    install_packages "${packages[@]}"
    python=$(find_python)
fi
[ -n "$python" ] || die "Python 3.11 or newer is needed (set PYTHON to name one)"

# --- .venv ----------------------------------------------------------------------------------

# The fingerprint names everything the environment is made from.
fingerprint() {
    {
        "$python" -c 'import sys; print(sys.version, sys.prefix)'
        pwd
        cat pyproject.toml "requirements/$1.txt"
    } | sha256sum | cut -d ' ' -f 1
}

is_ready() { [ "$(cat "$venv/.ready-$1" 2>/dev/null)" = "$(fingerprint "$1")" ]; }

pip_install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet "$@"
}

if ! is_ready dev; then
    say "creating $venv with the pinned packages (about a minute the first time)"
    rm -f "$venv"/.ready-*
    # An environment of another interpreter is no use; one of this interpreter is brought up to date.
    if ! "$venv/bin/python" -c 'import sys' 2>/dev/null ||
        [ "$("$venv/bin/python" -c 'import sys; print(sys.version)')" != "$("$python" -c 'import sys; print(sys.version)')" ]; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    pip_install --require-hashes -r requirements/dev.txt
    pip_install --no-build-isolation --no-deps --editable .
    fingerprint dev >"$venv/.ready-dev"
fi

if [ "$group" = bench ] && ! is_ready bench; then
    say "adding the benchmark packages"
    pip_install --require-hashes -r requirements/bench.txt
    fingerprint bench >"$venv/.ready-bench"
fi

say "ready: $venv/bin/homeport"
