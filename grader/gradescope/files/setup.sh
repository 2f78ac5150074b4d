#!/usr/bin/env bash
# Gradescope runs this once, as root, when the autograder is built.
set -euo pipefail

SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# Outside of the source, which no student's code may read.
VENV="${AUTOGRADER_VENV:-/opt/fcos-course/venv}"

find_python() {
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

PYTHON="$(find_python)"
if [ -z "$PYTHON" ]; then
  apt-get update
  apt-get install -y --no-install-recommends python3.12 python3.12-venv \
    || apt-get install -y --no-install-recommends python3.11 python3.11-venv
  PYTHON="$(find_python)"
fi
if [ -z "$PYTHON" ]; then
  echo "error: Python 3.11 or newer is needed; choose a newer base image" >&2
  exit 1
fi

"$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.7,<1'
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --torch-backend cpu \
  -r "$SOURCE/requirements-cpu.txt"
"$VENV/bin/python" -m compileall -q "$VENV/lib" "$SOURCE/course" || true
# A student's code runs as another user; tests and solution are for root alone.
chmod -R go-rwx "$SOURCE"
