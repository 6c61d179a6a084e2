# Sourced: makes $VENV (default .venv) and installs this checkout into it.
VENV="${VENV:-.venv}"
PYTHON="${PYTHON:-python3}"

install_astral() { # $1: what to install, for example ".[dev]"
    if [ ! -x "$VENV/bin/python" ]; then
        "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' || {
            echo "astral-lsp needs Python 3.10 to 3.14; set PYTHON to one" >&2
            exit 2
        }
        "$PYTHON" -m venv "$VENV"
    fi
    # torch first and exact: a later, looser requirement would fetch a CUDA build of several gigabytes
    "$VENV/bin/python" -m pip install --quiet torch==2.13.0
    "$VENV/bin/python" -m pip install --quiet --editable "$1"
}
