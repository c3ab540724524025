#!/usr/bin/env bash
# Uses the dashboard of the real binary in a real browser: log in, see an event arrive, approve a gate and watch its run go
# on, replay, backtest, copy a path, without JavaScript, by keyboard, on a phone, light and dark; axe-core finds no serious
# fault on any page. Pictures are kept under target/browser/. Needs Node with npm and Chromium (installed here with apt-get
# where that is possible), and the network for the two npm packages.
#
#   tests/browser/run.sh [path to the agent]      (default: what `cargo build` made)
#
# PICTURES=docs/images writes the small pictures of the documentation as well.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
agent=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/agent}

fail() { printf 'browser: %s\n' "$*" >&2; exit 1; }

for tool in node npm; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
[ -x "$agent" ] || fail "there is no agent at $agent; run 'cargo build' first"
agent=$(cd "$(dirname "$agent")" && pwd)/$(basename "$agent")

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }
browser=${CHROMIUM:-$(find_browser)}
if [ -z "$browser" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "browser: installing chromium"
  apt-get install -y -qq chromium >/dev/null || fail "apt-get could not install chromium"
  browser=$(find_browser)
fi
[ -n "$browser" ] || fail "there is no Chromium; install it or name it in CHROMIUM"

work=$(mktemp -d)
pid=
clean_up() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT

echo "browser: installing playwright-core and axe-core"
cp "$here/package.json" "$here"/*.mjs "$work/"
(cd "$work" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) || fail "npm could not install the libraries of package.json"

mkdir -p "$work/data/workflows" "$work/data/files/deploy"
cp "$here/config.yaml" "$work/"
cp "$here"/workflows/*.yaml "$work/data/workflows/"
printf '#!/bin/sh\necho "Deploying $2"\n' > "$work/data/files/deploy/deploy.sh"
chmod +x "$work/data/files/deploy/deploy.sh"

cd "$work"
"$agent" --config config.yaml > agent.log 2>&1 &
pid=$!
for _ in $(seq 100); do [ -s data/agent.json ] && break; sleep 0.1; done
[ -s data/agent.json ] || { cat agent.log >&2; fail "the agent did not start"; }

out="$root/target/browser"
mkdir -p "$out"
AGENT=$agent BROWSER=$browser OUT=$out PICTURES=${PICTURES:+$root/$PICTURES} node dashboard.mjs || { tail -20 agent.log >&2; fail "a check failed; pictures are in $out"; }
echo "browser: all checks passed; pictures are in $out"
