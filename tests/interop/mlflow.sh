#!/usr/bin/env bash
# Sends traces to a real `mlflow server` and reads them back. Heavy, so it is run by hand:
#   cargo build && tests/interop/mlflow.sh
# Needs python3 and bash. MLFLOW=<folder of a venv with mlflow> saves the installation; AGENT=<binary> names another build.
set -euo pipefail
cd "$(dirname "$0")/../.."
agent=${AGENT:-$(pwd)/target/debug/agent}
work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
venv=${MLFLOW:-$work/venv}
[ -x "$venv/bin/mlflow" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install -q mlflow; }
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mlflow_port=$(free) hooks_port=$(free) api_port=$(free)

export MLFLOW_DISABLE_TELEMETRY=true
"$venv/bin/mlflow" server --host 127.0.0.1 --port "$mlflow_port" --workers 1 \
    --backend-store-uri "sqlite:///$work/mlflow.db" --default-artifact-root "$work/artifacts" >"$work/mlflow.log" 2>&1 &
pids+=($!)
for _ in $(seq 120); do curl -fs "http://127.0.0.1:$mlflow_port/health" >/dev/null && break; sleep 1; done
curl -fs "http://127.0.0.1:$mlflow_port/health" >/dev/null || { tail -20 "$work/mlflow.log"; exit 1; }

mkdir -p "$work/agent/data/workflows"
cat >"$work/agent/config.yaml" <<YAML
webhooks: { enabled: true, port: $hooks_port, handlers: { custom: {} } }
dashboard: { port: $api_port }
telemetry: { otlp: { endpoint: "http://127.0.0.1:$mlflow_port", headers: { x-mlflow-experiment-id: "0" } } }
YAML
cat >"$work/agent/data/workflows/deploy.yaml" <<'YAML'
name: deploy
trigger: webhook
on: { handler: custom, events: [release] }
steps:
  - { name: tell, tool: notify, args: { text: "Release {{ payload.tag }}" } }
  - { name: check, tool: shell_exec, args: { argv: [sh, -c, "exit 3"] } }
YAML
(cd "$work/agent" && exec "$agent" --webhooks </dev/null >"$work/agent.log" 2>&1) &
pids+=($!)
for _ in $(seq 60); do curl -fs "http://127.0.0.1:$hooks_port/health" >/dev/null && break; sleep 0.5; done
curl -fs "http://127.0.0.1:$hooks_port/webhooks/custom" -H 'content-type: application/json' \
    -d '{"event_type":"release","id":"r-1","tag":"v1.2.3"}'
echo
MLFLOW_TRACKING_URI="http://127.0.0.1:$mlflow_port" "$venv/bin/python" - <<'PYTHON'
import time

import mlflow

wanted = {"webhook custom", "ingress", "triage", "run deploy", "step tell", "step check"}
for _ in range(60):
    traces = mlflow.search_traces(locations=["0"], return_type="list")
    if traces and wanted <= {span.name for span in traces[0].data.spans}:
        break
    time.sleep(1)
print(f"mlflow {mlflow.__version__}: {len(traces)} trace, state {traces[0].info.state.value}")
spans = traces[0].data.spans
above = {span.span_id: span.name for span in spans}
for span in sorted(spans, key=lambda span: span.start_time_ns):
    took = (span.end_time_ns - span.start_time_ns) / 1e6
    parent = above.get(span.parent_id, "-")
    print(f"  {span.name:16} under {parent:16} {span.status.status_code.value:6} {took:7.1f} ms")
print("  of the first:", {k: v for k, v in spans[0].attributes.items() if k.startswith("hookhand.event.t")})
missing = wanted - {span.name for span in spans}
assert not missing, missing
assert "v1.2.3" not in str([span.to_dict() for span in spans]), "a payload's text is in a trace"
print("ok")
PYTHON
