#!/bin/sh
# Asks the local API thousands of made-up questions after its own OpenAPI document, and fails when an answer is none that the
# document allows. Needs python3; installs schemathesis into target/schemathesis unless $ST names a binary.
#   tests/interop/schemathesis.sh [path of the agent's binary]
# SEED repeats a run, and CI gives one, so that a gate is no lottery; EXAMPLES asks more of each operation than 60.
set -eu
cd "$(dirname "$0")/../.."
agent=${1:-${CARGO_TARGET_DIR:-target}/debug/agent}
[ -x "$agent" ] || cargo build --bin agent
agent=$(realpath "$agent")
if [ -z "${ST:-}" ]; then
    ST=target/schemathesis/bin/st
    [ -x "$ST" ] || { python3 -m venv target/schemathesis && target/schemathesis/bin/pip -q install 'schemathesis>=4,<5'; }
fi
ST=$(realpath "$ST")
place=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$place"' EXIT
mkdir -p "$place/data/workflows"
cat > "$place/config.yaml" <<'YAML'
webhooks: { enabled: true, port: 0, handlers: { github: { secret: only-for-this-test }, open: { provider: custom } } }
dashboard: { port: 0 }
YAML
cat > "$place/data/workflows/remember.yaml" <<'YAML'
name: remember
trigger: manual
enabled: true
steps:
  - { name: keep, tool: memory_store, args: { section: test, fact: "a fact" } }
  - { name: gate, tool: memory_search, args: { query: fact }, requires_approval: true }
YAML
conf=$(realpath tests/interop/schemathesis.toml)
cd "$place"
"$agent" --config config.yaml > agent.log 2>&1 &
pid=$!
n=0
until [ -s data/agent.json ]; do
    n=$((n + 1))
    [ "$n" -lt 300 ] || { cat agent.log; exit 1; }
    sleep 0.1
done
for event in push pull_request.opened issues.opened; do
    "$agent" --config config.yaml webhook send github "$event" > /dev/null
done
"$agent" --config config.yaml workflow run remember > /dev/null
base=$(sed -n 's/.*"api": "\(.*\)".*/\1/p' data/agent.json)
"$ST" --config-file "$conf" run "$base/api/openapi.json" --header "Authorization: Bearer $(cat data/admin_token)" \
    --exclude-path /api/stream --request-timeout 20 --max-examples "${EXAMPLES:-60}" ${SEED:+--seed "$SEED"} --workers 1 --checks all
