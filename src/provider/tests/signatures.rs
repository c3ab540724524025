//! The traps of each formula, one by one.

use super::senders::{CONVOY, DISCORD, GITLAB, GRAFANA, HOOK0, LINEAR, OUTPOST, SENTRY, SHOPIFY, SLACK};
use super::*;

const NOW: i64 = 1_790_000_000;

#[test]
fn github_takes_no_sha1_and_says_why() {
    let github = builtin("github");
    let verdict = check(&github, &["k"], &[("X-Hub-Signature", "sha1=00")], b"{}", NOW);
    assert_eq!(word(&verdict), "missing");
    assert!(message(&verdict).contains("SHA-1"), "{}", message(&verdict));
    assert!(github.presence(&headers(&[("X-Hub-Signature", "sha1=00")])), "a refused signature is one all the same");
    assert!(!github.presence(&headers(&[("X-Other", "1")])));
    let verdict = check(&github, &["k"], &[], b"{}", NOW);
    assert_eq!(message(&verdict), "no signature: X-Hub-Signature-256 is missing; is the secret set at GitHub?");
}

#[test]
fn a_signature_is_compared_as_bytes_under_every_secret() {
    let right = hex_hmac("new", "{}");
    let cases = [
        (format!("sha256={right}"), "valid"),
        (format!("sha256={}", right.to_uppercase()), "valid"),
        (format!(" sha256={right} "), "valid"),
        (right.clone(), "invalid"),
        (format!("sha256={}", &right[..62]), "invalid"),
        (format!("sha256={right}00"), "invalid"),
        ("sha256=".to_owned(), "invalid"),
        ("sha256=zz".to_owned(), "invalid"),
        (String::new(), "invalid"),
    ];
    for (sent, expected) in cases {
        for secrets in [&["new", "old"][..], &["old", "new"][..]] {
            let verdict = check(&builtin("github"), secrets, &[("X-Hub-Signature-256", &sent)], b"{}", NOW);
            assert_eq!(word(&verdict), expected, "{sent}: {}", message(&verdict));
            assert!(!message(&verdict).contains(&right), "a message never holds a MAC");
        }
        assert_eq!(
            word(&check(&builtin("github"), &["old"], &[("X-Hub-Signature-256", &sent)], b"{}", NOW)),
            "invalid"
        );
    }
}

#[test]
fn a_repeated_signature_header_is_refused_where_there_can_be_only_one() {
    let right = format!("sha256={}", hex_hmac("k", "{}"));
    let pairs = [("X-Hub-Signature-256", right.as_str()), ("X-Hub-Signature-256", right.as_str())];
    let verdict = check(&builtin("github"), &["k"], &pairs, b"{}", NOW);
    assert_eq!(message(&verdict), "x-hub-signature-256 was sent 2 times");
}

#[test]
fn a_body_that_is_not_utf8_is_signed_like_any_other() {
    let body = [0xff, 0x00, 0xfe, b'{'];
    let sent = format!("sha256={}", hex::encode(hmac_sha256(b"k", &body)));
    assert_eq!(word(&check(&builtin("github"), &["k"], &[("X-Hub-Signature-256", &sent)], &body, NOW)), "valid");
}

#[test]
fn stripe_takes_any_v1_of_the_whole_secret_and_ignores_everything_else() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let right = hex_hmac(key, &format!("{NOW}.{{}}"));
    let of_base64 = {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(&key[6..]).expect("base64");
        hex::encode(hmac_sha256(&bytes, format!("{NOW}.{{}}").as_bytes()))
    };
    let cases = [
        (format!("t={NOW},v1={right}"), "valid"),
        (format!("t={NOW}, v1=00, v1=unreadable, v1={right}, v0=11, x=y, nonsense"), "valid"),
        (format!("v1={right},t={NOW}"), "valid"),
        (format!("t={NOW},v0={right}"), "invalid"),
        (format!("t={NOW},v1={of_base64}"), "invalid"),
        (format!("v1={right}"), "invalid"),
        (format!("t={NOW},t={NOW},v1={right}"), "invalid"),
        (format!("t={},v1={right}", NOW + 1), "invalid"),
    ];
    for (sent, expected) in cases {
        let verdict = check(&builtin("stripe"), &[key], &[("Stripe-Signature", &sent)], b"{}", NOW);
        assert_eq!(word(&verdict), expected, "{sent}: {}", message(&verdict));
    }
}

#[test]
fn the_mac_is_checked_before_the_age_and_absurd_times_are_only_stale() {
    let stripe = builtin("stripe");
    let long = "9".repeat(40);
    for (t, expected) in [
        ("0", "stale"),
        ("-1", "stale"),
        ("9223372036854775807", "stale"),
        ("-9223372036854775808", "stale"),
        (long.as_str(), "stale"),
        ("soon", "stale"),
        ("", "stale"),
        ("1790000300", "valid"),
        ("1790000301", "stale"),
        ("1789999700", "valid"),
        ("1789999699", "stale"),
    ] {
        let right = hex_hmac("k", &format!("{t}.{{}}"));
        let verdict = |sent: String| check(&stripe, &["k"], &[("Stripe-Signature", &sent)], b"{}", NOW);
        let found = verdict(format!("t={t},v1={right}"));
        assert_eq!(word(&found), expected, "{t}: {}", message(&found));
        assert_eq!(
            word(&verdict(format!("t={t},v1={}", "00".repeat(32)))),
            "invalid",
            "{t}: a wrong MAC is wrong at any age"
        );
    }
}

#[test]
fn the_replay_key_names_what_was_signed_and_not_how_it_was_sent() {
    let stripe = builtin("stripe");
    let key_of = |t: i64, body: &str, more: &str| {
        let right = hex_hmac("k", &format!("{t}.{body}"));
        match check(&stripe, &["k"], &[("Stripe-Signature", &format!("{more}t={t},v1={right}"))], body.as_bytes(), NOW)
        {
            Verification::Valid { replay_key } => replay_key.expect("a signed timestamp"),
            other => panic!("{other:?}"),
        }
    };
    let first = key_of(NOW, "{}", "");
    assert_eq!(first, key_of(NOW, "{}", "v1=00,"), "entries that verify nothing do not make it another request");
    assert_ne!(first, key_of(NOW + 1, "{}", ""));
    assert_ne!(first, key_of(NOW, "{ }", ""));
    let unsigned_time =
        check(&provider(SENTRY), &["k"], &[("Sentry-Hook-Signature", &hex_hmac("k", "{}"))], b"{}", NOW);
    assert_eq!(unsigned_time, Verification::Valid { replay_key: None });
}

#[test]
fn standard_webhooks_knows_its_versions_and_keys() {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let content = format!("msg_1.{NOW}.{{}}");
    let right = base64.encode(hmac_sha256(b"0123456789abcdef", content.as_bytes()));
    let whsec = format!("whsec_{}", base64.encode(b"0123456789abcdef"));
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let whpk = format!("whpk_{}", base64.encode(signing.verifying_key().to_bytes()));
    let ed = base64.encode(signing.sign(content.as_bytes()).to_bytes());
    let forged = base64.encode(hmac_sha256(&signing.verifying_key().to_bytes(), content.as_bytes()));
    let cases = [
        (&whsec, format!("v1,{right}"), "valid"),
        (&whsec, format!("v1,{right}").replace('=', ""), "valid"),
        (&whsec, format!("v1a,{ed} v2,x v1,AAAA v1,{right}"), "valid"),
        (&whsec, format!("v1a,{ed}"), "invalid"),
        (&whsec, right.clone(), "invalid"),
        (&whpk, format!("v1,{right} v1a,{ed}"), "valid"),
        (&whpk, format!("v1a,{}", base64.encode([1; 64])), "invalid"),
        (&whpk, format!("v1,{forged}"), "invalid"),
    ];
    for (key, sent, expected) in cases {
        let pairs =
            [("webhook-id", "msg_1"), ("webhook-timestamp", &NOW.to_string()), ("webhook-signature", sent.as_str())];
        let verdict = check(&builtin("standard-webhooks"), &[key], &pairs, b"{}", NOW);
        assert_eq!(word(&verdict), expected, "{sent}: {}", message(&verdict));
        assert_eq!(word(&check(&builtin("standard-webhooks"), &[key], &pairs[1..], b"{}", NOW)), "invalid", "no id");
    }
    let pairs = [("webhook-id", "1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")];
    let verdict = check(&builtin("standard-webhooks"), &["not base64!"], &pairs, b"{}", NOW);
    assert_eq!(message(&verdict), "webhook-signature cannot be checked with the secret that is set for it");
    let why = builtin("standard-webhooks").secret_fault(&secret("not base64!")).expect("no secret of theirs");
    assert!(why.contains("not base64"), "{why}");
    assert_eq!(builtin("gitlab").secret_fault(&secret("any token")), None);
}

#[test]
fn gitlabs_signing_path_is_chosen_by_its_signature_header_alone() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let gitlab = provider(GITLAB);
    let whsec = format!("whsec_{}", base64.encode(b"0123456789abcdef"));
    let ids = [("webhook-id", "msg_1".to_owned()), ("webhook-timestamp", NOW.to_string())];
    let verdict = |secrets: &[&str], more: &[(&str, &str)]| {
        let pairs: Vec<(&str, &str)> = ids.iter().map(|(n, v)| (*n, v.as_str())).chain(more.iter().copied()).collect();
        word(&check(&gitlab, secrets, &pairs, b"{}", NOW))
    };
    assert_eq!(
        verdict(&["token"], &[("X-Gitlab-Token", "token")]),
        "valid",
        "ids are sent without a signing token too"
    );
    assert_eq!(verdict(&["token"], &[("X-Gitlab-Token", "Token")]), "invalid");
    assert_eq!(verdict(&["token"], &[("X-Gitlab-Token", "token"), ("X-Gitlab-Token", "x")]), "invalid");
    assert_eq!(verdict(&["token"], &[]), "missing");
    let right =
        format!("v1,{}", base64.encode(hmac_sha256(b"0123456789abcdef", format!("msg_1.{NOW}.{{}}").as_bytes())));
    assert_eq!(verdict(&[&whsec], &[("webhook-signature", &right)]), "valid");
    assert_eq!(verdict(&["token", &whsec], &[("webhook-signature", &right), ("X-Gitlab-Token", "token")]), "valid");
    assert_eq!(
        verdict(&["token"], &[("webhook-signature", "v1,AAAA"), ("X-Gitlab-Token", "token")]),
        "invalid",
        "presence commits"
    );
}

#[test]
fn linears_time_is_inside_the_body_in_milliseconds() {
    let linear = provider(LINEAR);
    let verdict =
        |body: &str| word(&check(&linear, &["k"], &[("Linear-Signature", &hex_hmac("k", body))], body.as_bytes(), NOW));
    assert_eq!(verdict(&format!("{{\"webhookTimestamp\":{}}}", NOW * 1000 - 60_000)), "valid");
    assert_eq!(verdict(&format!("{{\"webhookTimestamp\":{}}}", NOW * 1000 - 60_001)), "stale");
    assert_eq!(verdict(&format!("{{\"webhookTimestamp\":{}}}", NOW * 1000 + 60_001)), "stale");
    assert_eq!(verdict("{\"webhookTimestamp\":1e300}"), "stale");
    assert_eq!(verdict("{}"), "invalid");
    assert_eq!(verdict("not json"), "invalid");
}

#[test]
fn discord_signs_with_a_private_key_and_deliberate_forgeries_are_invalid() {
    use ed25519_dalek::Signer as _;
    let signing = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let public = hex::encode(signing.verifying_key().to_bytes());
    let discord = provider(DISCORD);
    let sent = |t: i64, body: &str| hex::encode(signing.sign(format!("{t}{body}").as_bytes()).to_bytes());
    let verdict = |signature: &str, t: i64, keys: &[&str]| {
        let t = t.to_string();
        word(&check(&discord, keys, &[("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", &t)], b"{}", NOW))
    };
    assert_eq!(verdict(&sent(NOW, "{}"), NOW, &[&public]), "valid");
    assert_eq!(verdict(&sent(NOW, "{}"), NOW, &["not hex", &public]), "valid");
    assert_eq!(verdict(&sent(NOW, "{}"), NOW + 1, &[&public]), "invalid");
    assert_eq!(verdict(&sent(NOW, "{ }"), NOW, &[&public]), "invalid");
    assert_eq!(verdict(&sent(NOW - 301, "{}"), NOW - 301, &[&public]), "stale");
    assert_eq!(verdict("00", NOW, &[&public]), "invalid");
    assert_eq!(verdict(&sent(NOW, "{}"), NOW, &["00"]), "invalid");
    assert_eq!(verdict(&"00".repeat(64), NOW, &[&"00".repeat(32)]), "invalid", "a weak key proves nothing");
    let pairs = [("X-Signature-Ed25519", "00")];
    assert_eq!(message(&check(&discord, &[&public], &pairs, b"{}", NOW)), "x-signature-timestamp is missing");
}

#[test]
fn every_signature_that_custom_takes_must_verify_when_it_is_there() {
    let custom = builtin("custom");
    let right = hex_hmac("k", "{}");
    let prefixed = format!("sha256={right}");
    let upper = right.to_uppercase();
    let t = NOW.to_string();
    let v2 = hex_hmac("k", &format!("{NOW}.{{}}"));
    let list = format!("sha256=00,sha256={right}");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("X-Hub-Signature-256", &prefixed)], "valid"),
        (&[("X-Webhook-Signature", &right)], "valid"),
        (&[("X-Signature", &upper)], "valid"),
        (&[("X-Signature", &list)], "valid"),
        (&[("X-Hub-Signature-256", &prefixed), ("X-Webhook-Signature", &right), ("X-Signature", &prefixed)], "valid"),
        (&[("X-Hub-Signature-256", &prefixed), ("X-Webhook-Signature", "00")], "invalid"),
        (&[("X-Hub-Signature-256", "00"), ("X-Webhook-Signature", &right)], "invalid"),
        (&[("X-Webhook-Signature-V2", &v2), ("X-Webhook-Timestamp", &t)], "valid"),
        (&[("X-Webhook-Signature-V2", &v2)], "invalid"),
        (
            &[("X-Webhook-Signature-V2", &right), ("X-Webhook-Signature", &right), ("X-Webhook-Timestamp", &t)],
            "invalid",
        ),
        (&[("X-Webhook-Signature-V2", ""), ("X-Webhook-Signature", &right)], "invalid"),
        (&[("X-Webhook-Timestamp", &t)], "missing"),
    ];
    for (pairs, expected) in cases {
        let verdict = check(&custom, &["k"], pairs, b"{}", NOW);
        assert_eq!(word(&verdict), *expected, "{pairs:?}: {}", message(&verdict));
    }
    assert_eq!(custom.signature_header_shown(), "X-Hub-Signature-256");
}

#[test]
fn bearer_and_basic_share_a_header() {
    use base64::Engine as _;
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let grafana = provider(GRAFANA);
    let cases = [
        ("k", "Bearer k".to_owned(), "valid"),
        ("k", "bearer k".to_owned(), "valid"),
        ("k", "Bearer  k".to_owned(), "valid"),
        ("k", "Bearer K".to_owned(), "invalid"),
        ("k", "Bearer".to_owned(), "invalid"),
        ("k", "k".to_owned(), "invalid"),
        ("k", "Digest k".to_owned(), "invalid"),
        ("user:a:b", basic("user:a:b"), "valid"),
        ("user:a:b", basic("user:a"), "invalid"),
        ("word", basic("anybody:word"), "valid"),
        ("word", basic("word"), "invalid"),
        ("word", basic("word:"), "invalid"),
        ("word", "Basic !".to_owned(), "invalid"),
    ];
    for (key, sent, expected) in cases {
        let verdict = check(&grafana, &[key], &[("Authorization", &sent)], b"{}", NOW);
        assert_eq!(word(&verdict), expected, "{key} {sent}: {}", message(&verdict));
    }
    assert_eq!(word(&check(&grafana, &["k"], &[], b"{}", NOW)), "missing");
}

#[test]
fn a_scheme_with_a_timestamp_is_told_from_one_without_by_the_timestamp() {
    let grafana = provider(GRAFANA);
    let (plain, timed) = (hex_hmac("k", "{}"), hex_hmac("k", &format!("{NOW}:{{}}")));
    let t = NOW.to_string();
    let name = "X-Grafana-Alerting-Signature";
    let stamp = ("X-Grafana-Alerting-Timestamp", t.as_str());
    assert_eq!(word(&check(&grafana, &["k"], &[(name, &plain)], b"{}", NOW)), "valid");
    assert_eq!(word(&check(&grafana, &["k"], &[(name, &timed), stamp], b"{}", NOW)), "valid");
    assert_eq!(word(&check(&grafana, &["k"], &[(name, &timed), stamp], b"{}", NOW + 301)), "stale");
    assert_eq!(word(&check(&grafana, &["k"], &[(name, &plain), stamp], b"{}", NOW)), "invalid");
    let both = [(name, "00"), ("Authorization", "Bearer k")];
    assert_eq!(word(&check(&grafana, &["k"], &both, b"{}", NOW)), "invalid", "a wrong signature is not rescued");
}

#[test]
fn the_lists_of_convoy_outpost_and_hook0_can_be_said() {
    let outpost = provider(OUTPOST);
    let sent = format!("v0={},{}", hex_hmac("old", "{}"), hex_hmac("new", "{}"));
    for key in ["old", "new"] {
        assert_eq!(word(&check(&outpost, &[key], &[("x-outpost-signature", &sent)], b"{}", NOW)), "valid");
    }
    let hook0 = provider(HOOK0);
    let content = format!("{NOW}.x-event-type x-event-id.user.created.e1.{{}}");
    let more = [("X-Event-Type", "user.created"), ("X-Event-Id", "e1")];
    let verdict = |sent: &str, more: &[(&str, &str)]| {
        let pairs: Vec<(&str, &str)> = [("X-Hook0-Signature", sent)].into_iter().chain(more.iter().copied()).collect();
        word(&check(&hook0, &["k"], &pairs, b"{}", NOW))
    };
    let right = hex_hmac("k", &content);
    assert_eq!(verdict(&format!("t={NOW},h=x-event-type x-event-id,v1={right}"), &more), "valid");
    assert_eq!(verdict(&format!("t={NOW},h=x-event-type x-event-id,v1={right}"), &more[..1]), "invalid");
    assert_eq!(verdict(&format!("t={NOW},h=x-event-type,v1={right}"), &more), "invalid");
    let v0 = hex_hmac("k", &format!("{NOW}.{{}}"));
    assert_eq!(verdict(&format!("t={NOW},h=x-event-type,v0={v0},v1=00"), &more), "invalid", "v0 rescues nothing");
    let convoy = provider(CONVOY);
    let signed = convoy.sign(Some(&secret("k")), b"{}", "d", "e", at(NOW));
    let (_, value) = signed.iter().find(|(name, _)| name == "x-convoy-signature").expect("signed");
    assert!(value.to_str().expect("text").starts_with(&format!("t={NOW},v1=")), "{value:?}");
}

#[test]
fn pairs_may_have_semicolons_between_as_paddles_have() {
    let page = include_str!("../../../docs/PROVIDERS.md");
    let block = page.split("```yaml\n").find(|block| block.starts_with("name: paddle")).expect("in the page");
    let paddle = provider(block.split("```").next().expect("its end"));
    let body = r#"{"event_type":"transaction.completed","notification_id":"ntf_1"}"#;
    let right = hex_hmac("pdl_ntfset_k", &format!("{NOW}:{body}"));
    let cases = [
        (format!("ts={NOW};h1={right}"), "valid"),
        (format!("ts={NOW}; h1=00; h1={right}"), "valid"),
        (format!("ts={NOW},h1={right}"), "valid"),
        (format!("ts={};h1={right}", NOW + 1), "invalid"),
        (format!("ts={NOW};ts={NOW};h1={right}"), "invalid"),
        (format!("ts={NOW};h2={right}"), "invalid"),
        (format!("ts={NOW};h1={right};"), "valid"),
    ];
    for (sent, expected) in cases {
        let verdict = check(&paddle, &["pdl_ntfset_k"], &[("Paddle-Signature", &sent)], body.as_bytes(), NOW);
        assert_eq!(word(&verdict), expected, "{sent}: {}", message(&verdict));
    }
    let sent = format!("ts={NOW} h1={right}");
    let verdict = check(&paddle, &["pdl_ntfset_k"], &[("Paddle-Signature", &sent)], body.as_bytes(), NOW);
    assert_eq!(message(&verdict), "paddle-signature has 'h1=', and not as one of the pairs, which ',' or ';' separate");
    let example = paddle.events()[0].example.as_ref().expect("an example");
    let read = paddle.read(&headers(&[]), example).expect("an event type");
    assert_eq!(read.delivery_id.as_deref(), Some("ntf_01hv8wptvv9bqcy6gq6y1sf5fd"));
    let summary = paddle.summarize(&read.event, example, &[]);
    assert_eq!(summary.message.title, "Transaction 325-10566 completed: $29.99");
}

#[test]
fn either_set_of_shopifys_headers_is_taken_and_both_are_base64() {
    use base64::Engine as _;
    let right = base64::engine::general_purpose::STANDARD.encode(hmac_sha256(b"k", b"{}"));
    for name in ["X-Shopify-Hmac-Sha256", "shopify-hmac-sha256"] {
        assert_eq!(word(&check(&provider(SHOPIFY), &["k"], &[(name, &right)], b"{}", NOW)), "valid");
        assert_eq!(word(&check(&provider(SHOPIFY), &["k"], &[(name, &hex_hmac("k", "{}"))], b"{}", NOW)), "invalid");
    }
}

#[test]
fn a_missing_or_repeated_timestamp_is_told_by_name() {
    let slack = provider(SLACK);
    let signature = ("X-Slack-Signature", "v0=00");
    let verdict = check(&slack, &["k"], &[signature], b"{}", NOW);
    assert_eq!(message(&verdict), "x-slack-request-timestamp is missing");
    let stamp = ("X-Slack-Request-Timestamp", "1");
    let verdict = check(&slack, &["k"], &[signature, stamp, stamp], b"{}", NOW);
    assert_eq!(message(&verdict), "x-slack-request-timestamp was sent more than once");
}
