#!/usr/bin/env bash
# The tools of a public MCP server as steps of a workflow. Needs node 20 and npm; downloads the server. Run by hand:
#   cargo build && tests/interop/mcp.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
agent=${AGENT:-$(pwd)/target/debug/agent}
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
api_port=$(free)
npm install --silent --no-fund --no-audit --prefix "$work/npm" @modelcontextprotocol/server-everything@2026.8.31
server=$work/npm/node_modules/.bin/mcp-server-everything
mkdir -p "$work/data/workflows"
cat >"$work/config.yaml" <<YAML
dashboard: { port: $api_port }
mcp:
  servers:
    everything: { command: [$server, stdio], env: { SERVICE_TOKEN: hunter2secret } }
YAML
cat >"$work/data/workflows/try.yaml" <<'YAML'
name: try
trigger: manual
steps:
  - { name: say, tool: mcp_everything_echo, args: { message: "{{ inputs.word }}" } }
  - { name: sum, tool: mcp_everything_get-sum, args: { a: 2, b: 40 } }
  - { name: env, tool: mcp_everything_get-env, args: {} }
  - { name: picture, tool: mcp_everything_get-tiny-image, args: {} }
  - { name: wrong, tool: mcp_everything_get-sum, args: { a: two }, on_error: continue }
YAML
cd "$work"
"$agent" check
"$agent" </dev/null >"$work/agent.log" 2>&1 &
pid=$!
for _ in $(seq 60); do curl -fs "http://127.0.0.1:$api_port/health" >/dev/null 2>&1 && break; sleep 0.5; done
run=$("$agent" workflow run try --input word=hello --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["run_id"])')
for _ in $(seq 60); do "$agent" runs show "$run" --json | grep -q '"ended_at": *"' && break; sleep 0.5; done
"$agent" runs show "$run" --json | python3 -c '
import json, sys
run = json.load(sys.stdin)
assert "hunter2secret" not in json.dumps(run), "a secret is in a run"
for step in run["steps"]:
    print("  {name:8} {state:8}".format(**step), json.dumps(step["output"] or step["error"])[:150])
steps = {step["name"]: step for step in run["steps"]}
assert "hello" in json.dumps(steps["say"]["output"]) and "42" in json.dumps(steps["sum"]["output"])
assert steps["wrong"]["state"] == "error"
print("ok")'
