#!/usr/bin/env bash
# Writes the hash-pinned locks from the .in files. Only the public index is asked, whatever
# the machine's pip configuration says, so that the locks mean the same everywhere.
# Usage: requirements/lock.sh [pip-compile options, for example --upgrade]
set -euo pipefail
cd "$(dirname "$0")"

compiler=${COMPILER:-../.venv/bin/pip-compile}
export PIP_CONFIG_FILE=/dev/null
export CUSTOM_COMPILE_COMMAND='make locks'
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_CONSTRAINT PIP_NO_INDEX

for group in runtime dev bench; do
    "$compiler" --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
        --output-file "$group.txt" "$@" "$group.in"
done
