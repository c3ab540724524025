#!/usr/bin/env bash
# Measures the agent beside Debian's `webhook` package (apt-get install webhook): one run, one machine, the same signed
# deliveries over the same connections. Usage: benches/beside-webhook.sh [PATH-OF-AGENT] [options of `agent bench`].
#
# `webhook` checks GitHub's HMAC-SHA256 and does the least it can: one hook whose second condition never holds, so that
# nothing is run; one that runs /bin/true and answers at once; one that answers when /bin/true has ended. It keeps nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

agent=${1:-${CARGO_TARGET_DIR:-target}/release/agent}
shift || true
port=${WEBHOOK_PORT:-39917}
command -v webhook >/dev/null || { echo "skipped: there is no 'webhook' (apt-get install webhook)"; exit 0; }
[ -x "$agent" ] || { echo "there is no agent at $agent: cargo build --release" >&2; exit 1; }

dir=$(mktemp -d)
server=
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT

signed='{"match": {"type": "payload-hmac-sha256", "secret": "bench-secret-that-guards-nothing",
         "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}}'
never='{"match": {"type": "value", "value": "never", "parameter": {"source": "header", "name": "X-GitHub-Event"}}}'
cat >"$dir/hooks.json" <<JSON
[
  {"id": "nothing", "execute-command": "/bin/true", "trigger-rule": {"and": [$signed, $never]}},
  {"id": "true-behind", "execute-command": "/bin/true", "trigger-rule": $signed},
  {"id": "true-before", "execute-command": "/bin/true", "include-command-output-in-response": true, "trigger-rule": $signed}
]
JSON
webhook -hooks "$dir/hooks.json" -ip 127.0.0.1 -port "$port" >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done

# What it refuses must be refused, or the figures would be those of a server that checks nothing.
code=$(curl -s -o "$dir/answer" -w '%{http_code}' -d '{}' -H 'X-Hub-Signature-256: sha256=00' "http://127.0.0.1:$port/hooks/true-before")
echo "webhook $(webhook -version), a wrong signature: $code $(cat "$dir/answer")"

hooks="http://127.0.0.1:$port/hooks"
"$agent" bench --beside "$hooks/nothing" --beside "$hooks/true-before" --beside "$hooks/true-behind" "$@"
echo "memory of webhook afterwards: $(grep VmRSS "/proc/$server/status")"
