// Signs payloads with the libraries that senders publish on npm. One JSON object a line: who signed, for which handler, how the
// signature should be judged, headers, body.
import { sign as signGitHub } from "@octokit/webhooks-methods";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";

const now = Math.floor(Date.now() / 1000);
// Past the window of 300 s, and clear of its edge.
const LONG_AGO = now - 400;

const put = (library, handler, verdict, headers, body) =>
  console.log(JSON.stringify({ library, handler, verdict, headers, body }));

// Letters outside ASCII: a library that signs characters and not bytes would show here.
const github = JSON.stringify({ action: "opened", number: 7, pull_request: { number: 7, title: "Café ☕ <b>", html_url: "https://github.com/acme/shop/pull/7" },
  repository: { full_name: "acme/shop" }, sender: { login: "zoë" } });
for (const [verdict, secret] of [["valid", process.env.GITHUB_SECRET], ["invalid", process.env.WRONG_GITHUB_SECRET]]) {
  const headers = { "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": `interop-${verdict}`, "X-Hub-Signature-256": await signGitHub(secret, github) };
  put("@octokit/webhooks-methods", "github", verdict, headers, github);
}

// No request is made with this key.
const stripe = new Stripe("sk_test_none");
for (const [verdict, secret, timestamp] of [
  ["valid", process.env.STRIPE_SECRET, now], ["invalid", process.env.WRONG_STRIPE_SECRET, now], ["stale", process.env.STRIPE_SECRET, LONG_AGO]]) {
  const payload = JSON.stringify({ id: `evt_interop_${verdict}`, object: "event", type: "payment_intent.succeeded", livemode: false,
    data: { object: { id: "pi_1", object: "payment_intent", amount: 2999, currency: "usd", description: "Café ☕" } } });
  put("stripe (npm)", "stripe", verdict, { "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) }, payload);
}

for (const [library, handler, prefix, Webhook, right, wrong] of [
  ["standardwebhooks (npm)", "standard-webhooks", "webhook", StandardWebhook, process.env.STANDARD_SECRET, process.env.WRONG_STANDARD_SECRET],
  ["svix (npm)", "svix", "svix", SvixWebhook, process.env.SVIX_SECRET, process.env.WRONG_SVIX_SECRET]]) {
  for (const [verdict, secret, timestamp] of [["valid", right, now], ["invalid", wrong, now], ["stale", right, LONG_AGO]]) {
    const body = JSON.stringify({ type: "invoice.paid", data: { id: "in_1", note: "Café ☕" } });
    const id = `msg_npm_${verdict}`;
    const signature = new Webhook(secret).sign(id, new Date(timestamp * 1000), body);
    put(library, handler, verdict, { [`${prefix}-id`]: id, [`${prefix}-timestamp`]: String(timestamp), [`${prefix}-signature`]: signature }, body);
  }
}
