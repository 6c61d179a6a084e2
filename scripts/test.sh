#!/usr/bin/env bash
# Sets up a virtual environment and runs every test that needs no editor.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_astral ".[dev]"
"$VENV/bin/python" -m pytest -m "not editor" "$@"
