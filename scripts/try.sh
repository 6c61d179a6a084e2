#!/usr/bin/env bash
# Sets up a virtual environment, pulls the weights (491 MB, once) and fills the holes of examples/orders.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_astral "."
"$VENV/bin/astral-lsp" fill examples/orders/orders.py "$@"
