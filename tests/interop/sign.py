"""Signs payloads with the libraries that senders publish on PyPI. The same lines as sign.mjs."""

import json
import os
import time
from datetime import datetime, timezone
from urllib.parse import urlencode

import standardwebhooks
import stripe
import svix.webhooks
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

NOW = int(time.time())
# Past the window of 300 s, and clear of its edge.
LONG_AGO = NOW - 400


def put(library, handler, verdict, headers, body):
    print(json.dumps({"library": library, "handler": handler, "verdict": verdict, "headers": headers, "body": body}))


def variants(name):
    """Verdict, secret and time: right, of another secret, and too old."""
    right, wrong = os.environ[name], os.environ["WRONG_" + name]
    return [("valid", right, NOW), ("invalid", wrong, NOW), ("stale", right, LONG_AGO)]


for verdict, secret, at in variants("SLACK_SECRET"):
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": f"Ev_{verdict}", "event_time": at,
                       "event": {"type": "app_mention", "user": "U1", "channel": "C1", "ts": f"{at}.0001", "text": "Café ☕"}})
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=body)
    put("slack_sdk", "slack", verdict, {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signature}, body)

for verdict, secret, at in variants("STRIPE_SECRET"):
    body = json.dumps({"id": f"evt_pypi_{verdict}", "object": "event", "type": "charge.succeeded", "livemode": False,
                       "data": {"object": {"id": "ch_1", "object": "charge", "amount": 500, "currency": "jpy", "description": "Café ☕"}}})
    # The library has no public function that signs; this is the one that its check compares with.
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret)
    put("stripe (PyPI)", "stripe", verdict, {"Stripe-Signature": f"t={at},v1={signature}"}, body)

for library, handler, prefix, kind, name in [
    ("standardwebhooks (PyPI)", "standard-webhooks", "webhook", standardwebhooks.Webhook, "STANDARD_SECRET"),
    ("svix (PyPI)", "svix", "svix", svix.webhooks.Webhook, "SVIX_SECRET"),
]:
    for verdict, secret, at in variants(name):
        body = json.dumps({"type": "user.created", "data": {"id": "u_1", "name": "Zoë ☕"}})
        message = f"msg_pypi_{verdict}"
        signature = kind(secret).sign(message, datetime.fromtimestamp(at, timezone.utc), body)
        headers = {f"{prefix}-id": message, f"{prefix}-timestamp": str(at), f"{prefix}-signature": signature}
        put(library, handler, verdict, headers, body)

# Twilio signs the address and the form, and no time.
for verdict, secret, _ in variants("TWILIO_SECRET")[:2]:
    form = {"MessageSid": f"SM_{verdict}", "SmsStatus": "received", "From": "+15550001111", "To": "+15550002222", "Body": "Café ☕ & more"}
    signature = RequestValidator(secret).compute_signature(os.environ["BASE"] + "/webhooks/twilio", form)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    put("twilio", "twilio", verdict, headers, urlencode(form))
