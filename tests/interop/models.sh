#!/usr/bin/env bash
# Asks a simulator of OpenAI and Anthropic (@copilotkit/aimock, from npm) through the agent's own model layer: chat, streaming,
# tools, 429 with Retry-After, 500, cut streams, malformed tool arguments, slow answers, a wrong key. Then `agent doctor` against it.
# Needs Node 20 with npm, cargo, and network for the simulator.
#
#   tests/interop/models.sh
#
# It fails when the simulator cannot be installed: a check that did not run is no check.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() { printf 'interop: %s\n' "$*" >&2; exit 1; }

for tool in node npm cargo; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

work=$(mktemp -d)
mock=
clean_up() {
  exec 3>&- || true
  if [ -n "$mock" ]; then wait "$mock" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT

echo "interop: installing the simulator"
cp "$here/models.mjs" "$work/"
(cd "$work" && npm init -y >/dev/null && npm install --no-audit --no-fund --loglevel=error @copilotkit/aimock@^1.43) \
  || fail "npm could not install @copilotkit/aimock"

echo "interop: building"
(cd "$root" && cargo build --quiet --features interop --example interop_models --bin agent) || fail "cargo build failed"
bin=${CARGO_TARGET_DIR:-$root/target}/debug

# The simulator ends when descriptor 3 closes.
mkfifo "$work/stdin"
(cd "$work" && exec node models.mjs <"$work/stdin" >"$work/url" 2>"$work/mock.log") &
mock=$!
exec 3>"$work/stdin"
for _ in $(seq 200); do
  [ -s "$work/url" ] && break
  kill -0 "$mock" 2>/dev/null || { cat "$work/mock.log" >&2; fail "the simulator did not start"; }
  sleep 0.05
done
url=$(head -n 1 "$work/url")
[ -n "$url" ] || fail "the simulator did not say where it listens"

"$bin/examples/interop_models" "$url"

echo "interop: agent doctor"
cat >"$work/config.yaml" <<YAML
data_dir: ./data
model: { provider: openai, name: gpt-4o-mini, base_url: "$url/v1", api_key: interop-key-0123456789, timeout_seconds: 2 }
YAML
# The simulator has no answer to the doctor's question: a model that is there and refuses.
(cd "$work" && "$bin/agent" --config config.yaml doctor) >"$work/doctor.txt" 2>&1 || true
grep -i 'model' "$work/doctor.txt" || fail "doctor says nothing of the model"
! grep -q 'interop-key' "$work/doctor.txt" || fail "doctor shows the key"
