#!/usr/bin/env bash
# Starts a Docker Engine when none answers. Does nothing when DOCKER_HOST or the local socket
# already has one. Needs root for the rest; the engine it starts is left running.
set -euo pipefail

readonly LIMIT_S=60

say() { printf 'docker: %s\n' "$*"; }
die() {
    printf 'docker: error: %s\n' "$*" >&2
    exit 1
}

# GET /_ping, with Python since a fresh Debian has no curl. Prints the reason when it fails.
ping_engine() {
    python3 - <<'PY'
import os
import socket
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

address = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
connection = HTTPConnection(address.hostname or "docker", address.port or 2375, timeout=5)
try:
    if address.scheme == "unix":
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(address.path)
    connection.request("GET", "/_ping")
    sys.exit(connection.getresponse().status != 200)
except (OSError, HTTPException) as trouble:
    sys.exit(f"{trouble}")
PY
}

# The line of dockerd's log that says why it ended: a panic is followed by its stack.
explain_end() {
    grep -E 'level=fatal|^panic:|failed to start daemon' "$1" | tail -n 1 | grep . || tail -n 1 "$1"
}

# An engine that was killed leaves its number behind; another program may have it by now, and
# dockerd would take that for itself.
forget_stale_number() {
    local file=$1 program=$2 number
    [ -r "$file" ] || return 0
    number=$(cat "$file")
    [ "$(cat "/proc/$number/comm" 2>/dev/null)" = "$program" ] || rm -f "$file"
}

if trouble=$(ping_engine 2>&1); then
    exit 0
fi
[ -z "${DOCKER_HOST:-}" ] ||
    die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST ($trouble); start it or unset DOCKER_HOST"
case $trouble in
*ermission*) die "no permission on /var/run/docker.sock; run:  sudo usermod -aG docker $(id -un)  and log in again" ;;
esac
[ "$(id -u)" -eq 0 ] || die "no Docker Engine answers; start it, for example:  sudo systemctl start docker"
command -v dockerd >/dev/null 2>&1 || die "no Docker Engine is installed; run:  make setup"

if [ -d /run/systemd/system ]; then
    say "starting the Docker Engine (systemd)"
    systemctl start docker
    engine_pid=
else
    log=$(mktemp -d "${TMPDIR:-/tmp}/homeport-dockerd.XXXXXX")/dockerd.log
    say "starting the Docker Engine (log: $log)"
    forget_stale_number /var/run/docker.pid dockerd
    forget_stale_number /var/run/docker/containerd/containerd.pid containerd
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
    engine_pid=$!
fi

deadline=$((SECONDS + LIMIT_S))
until ping_engine >/dev/null 2>&1; do
    if [ -n "$engine_pid" ] && ! kill -0 "$engine_pid" 2>/dev/null; then
        die "dockerd stopped: $(explain_end "$log") (whole log: $log)"
    fi
    [ "$SECONDS" -lt "$deadline" ] || die "the Docker Engine did not answer within $LIMIT_S s"
    sleep 0.2
done
say "the Docker Engine answers"
