#!/usr/bin/env bash
# Signs payloads with the senders' own libraries, from npm and PyPI, and posts them to the real binary: right ones must be
# taken, changed, old and wrongly signed ones refused. Needs Node with npm, Python 3 with venv, and network for the libraries.
#
#   tests/interop/run.sh [path to the agent]      (default: what `cargo build` made)
#
# It fails when a library cannot be installed: a check that did not run is no check.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
agent=${1:-${CARGO_TARGET_DIR:-$here/../../target}/debug/agent}

fail() { printf 'interop: %s\n' "$*" >&2; exit 1; }

for tool in node npm python3; do
  command -v "$tool" >/dev/null || fail "$tool is not installed; it is needed to run the senders' libraries"
done
[ -x "$agent" ] || fail "there is no agent at $agent; run 'cargo build' first"
agent=$(cd "$(dirname "$agent")" && pwd)/$(basename "$agent")

work=$(mktemp -d)
pid=
clean_up() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT

echo "interop: installing the senders' libraries"
cp "$here/package.json" "$here"/sign.mjs "$here"/config.yaml "$work/"
(cd "$work" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) || fail "npm could not install the libraries of package.json"
python3 -m venv "$work/venv" || fail "python3 cannot make a virtual environment (is python3-venv installed?)"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" \
  || fail "pip could not install the libraries of requirements.txt"
python="$work/venv/bin/python"

# Secrets of the form that each sender makes, new for this run. WRONG_* have the same form and are nobody's.
make_secrets() {
  "$python" - <<'PY'
import base64, secrets
def whsec(): return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
forms = {
    "GITHUB_SECRET": lambda: secrets.token_hex(20), "STRIPE_SECRET": lambda: "whsec_" + secrets.token_hex(16),
    "SLACK_SECRET": lambda: secrets.token_hex(16), "STANDARD_SECRET": whsec, "SVIX_SECRET": whsec,
    "TWILIO_SECRET": lambda: secrets.token_hex(16),
}
for name, form in forms.items():
    print(f"export {name}={form()} WRONG_{name}={form()}")
PY
}
eval "$(make_secrets)"

(cd "$work" && exec "$agent" --config config.yaml) >"$work/agent.log" 2>&1 &
pid=$!
base=
for _ in $(seq 200); do
  kill -0 "$pid" 2>/dev/null || { cat "$work/agent.log" >&2; fail "the agent did not start"; }
  if [ -s "$work/data/agent.json" ]; then
    base=$("$python" -c 'import json,sys; print(json.load(open(sys.argv[1]))["webhooks"])' "$work/data/agent.json")
    break
  fi
  sleep 0.05
done
[ -n "$base" ] || { cat "$work/agent.log" >&2; fail "the agent did not say where it listens"; }

export BASE="$base"
(cd "$work" && node sign.mjs) >"$work/requests.jsonl" || fail "sign.mjs failed"
"$python" "$here/sign.py" >>"$work/requests.jsonl" || fail "sign.py failed"
"$python" "$here/send.py" "$work/requests.jsonl"
