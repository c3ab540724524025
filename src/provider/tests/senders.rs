//! Manifests of senders that are not built in, to show that the format can say how each of them signs.

/// Slack.
pub(super) const SLACK: &str = r#"
name: slack
title: Slack
signature:
  schemes:
    - kind: hmac
      header: X-Slack-Signature
      prefix: "v0="
      timestamp: { header: X-Slack-Request-Timestamp, window: 300s }
      content: "v0:{timestamp}:{body}"
event: { payload: [event.type, type] }
delivery: { payload: event_id }
handshake:
  - when: { payload.type: url_verification }
    reply: { json_echo: challenge }
"#;

/// Shopify: two sets of header names.
pub(super) const SHOPIFY: &str = r#"
name: shopify
title: Shopify
signature:
  schemes:
    - { kind: hmac, header: X-Shopify-Hmac-Sha256, encoding: base64 }
    - { kind: hmac, header: shopify-hmac-sha256, encoding: base64 }
event: { header: [X-Shopify-Topic, shopify-topic], required: true }
delivery: { header: [X-Shopify-Event-Id, shopify-event-id] }
headers: [x-shopify-shop-domain]
summaries:
  default: { title: "{{ headers['x-shopify-shop-domain'] }}: {{ event | words }}" }
"#;

/// GitLab: a token, or a signing token in the Standard Webhooks way.
pub(super) const GITLAB: &str = r#"
name: gitlab
title: GitLab
signature:
  schemes:
    - kind: hmac
      header: webhook-signature
      encoding: base64
      key: base64_after_prefix
      list: space
      prefix: "v1,"
      id_header: webhook-id
      timestamp: { header: webhook-timestamp }
      content: "{id}.{timestamp}.{body}"
    - { kind: token, header: X-Gitlab-Token }
event: { header: X-Gitlab-Event, required: true }
delivery: { header: Idempotency-Key }
"#;

/// Linear: the timestamp is in the payload, in milliseconds.
pub(super) const LINEAR: &str = r#"
name: linear
title: Linear
signature:
  schemes:
    - kind: hmac
      header: Linear-Signature
      timestamp: { payload: webhookTimestamp, unit: ms, window: 60s }
event: { header: Linear-Event, payload: type, action: action }
delivery: { header: Linear-Delivery }
events:
  - { name: Issue.create, example: { action: create, type: Issue, webhookTimestamp: 1 } }
"#;

/// Sentry: its timestamp is not part of what is signed.
pub(super) const SENTRY: &str = r#"
name: sentry
title: Sentry
signature: { schemes: [{ kind: hmac, header: Sentry-Hook-Signature }] }
event: { header: Sentry-Hook-Resource, action: action }
delivery: { header: Request-ID }
"#;

/// PagerDuty: several signatures with commas.
pub(super) const PAGERDUTY: &str = r#"
name: pagerduty
title: PagerDuty
sender: { overload_status: 429 }
signature: { schemes: [{ kind: hmac, header: X-PagerDuty-Signature, prefix: "v1=", list: comma }] }
event: { payload: event.event_type, required: true }
delivery: { header: X-Webhook-Id, payload: event.id }
events:
  - { name: incident.triggered, example: { event: { id: 01B, event_type: "" } } }
"#;

/// Twilio: forms over the URL and sorted fields, JSON over the URL with the body's hash in it.
pub(super) const TWILIO: &str = r#"
name: twilio
title: Twilio
sender: { body: form }
signature:
  schemes:
    - { kind: hmac, header: X-Twilio-Signature, algorithm: sha1, encoding: base64, content: "{url}", body_hash_query: bodySHA256 }
    - { kind: hmac, header: X-Twilio-Signature, algorithm: sha1, encoding: base64, content: "{url}{form_sorted}" }
delivery: { header: I-Twilio-Idempotency-Token }
"#;

/// Discord: Ed25519, the public key as the secret.
pub(super) const DISCORD: &str = r#"
name: discord
title: Discord
sender: { success_status: 204 }
signature:
  schemes:
    - kind: ed25519
      header: X-Signature-Ed25519
      key: hex
      timestamp: { header: X-Signature-Timestamp, window: 300s }
      content: "{timestamp}{body}"
event: { payload: [event.type, type] }
handshake:
  - { when: { payload.type: 0 }, reply: { status: 204 } }
  - { when: { payload.type: 1, header.user-agent: "*" }, reply: { json: { type: 1 } } }
"#;

/// Convoy's outgoing side: pairs, and a comma between the timestamp and the body.
pub(super) const CONVOY: &str = r#"
name: convoy
signature:
  schemes:
    - kind: hmac
      header: X-Convoy-Signature
      algorithm: sha512
      encoding: base64
      list: pairs
      timestamp: { field: t }
      content: "{timestamp},{body}"
"#;

/// Outpost's outgoing side: one prefix before two signatures.
pub(super) const OUTPOST: &str = r#"
name: outpost
signature: { schemes: [{ kind: hmac, header: x-outpost-signature, list: comma, prefix: "v0=", prefix_optional: true }] }
"#;

/// Hook0's outgoing side: chosen headers are signed too.
pub(super) const HOOK0: &str = r#"
name: hook0
signature:
  schemes:
    - kind: hmac
      header: X-Hook0-Signature
      list: pairs
      timestamp: { field: t }
      content: "{timestamp}.{field:h}.{values:h}.{body}"
event: { header: x-event-type }
delivery: { header: x-event-id }
"#;

/// Grafana's alerting: HMAC when it is sent, with or without a timestamp; else Bearer or Basic.
pub(super) const GRAFANA: &str = r#"
name: grafana
title: Grafana
signature:
  schemes:
    - { kind: hmac, header: X-Grafana-Alerting-Signature, timestamp: { header: X-Grafana-Alerting-Timestamp }, content: "{timestamp}:{body}" }
    - { kind: hmac, header: X-Grafana-Alerting-Signature }
    - { kind: token, header: Authorization, prefix: "Bearer " }
    - { kind: basic, header: Authorization }
event: { payload: status, default: alert }
"#;

/// CloudEvents over HTTP.
pub(super) const CLOUDEVENTS: &str = r#"
name: cloudevents
title: CloudEvents
signature: { schemes: [{ kind: token, header: Authorization, prefix: "Bearer " }] }
event: { header: ce-type, payload: type, required: true }
delivery: { header: ce-source+ce-id, payload: source+id }
handshake:
  - when: { method: OPTIONS, header.webhook-request-origin: "*" }
    reply:
      headers: { WebHook-Allowed-Origin: "{header:webhook-request-origin}", WebHook-Allowed-Rate: "*", Allow: POST }
"#;

/// All of them.
pub(super) const ALL: &[&str] =
    &[SLACK, SHOPIFY, GITLAB, LINEAR, SENTRY, PAGERDUTY, TWILIO, DISCORD, CONVOY, OUTPOST, HOOK0, GRAFANA, CLOUDEVENTS];
