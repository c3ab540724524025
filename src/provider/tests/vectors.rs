//! Signatures that the senders themselves publish. None of them was made by our code.

use super::*;

/// Source: GitHub's documentation, "Validating webhook deliveries".
#[test]
fn githubs_own_example_is_valid() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let key = "It's a Secret to Everybody";
    let verdict = |body: &[u8]| check(&builtin("github"), &[key], &[("X-Hub-Signature-256", signature)], body, 0);
    assert_eq!(verdict(b"Hello, World!"), Verification::Valid { replay_key: None });
    assert_eq!(word(&verdict(b"Hello, World?")), "invalid");
}

/// Source: Slack's documentation, "Verifying requests from Slack".
#[test]
fn slacks_own_example_is_valid() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let pairs = [
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
    ];
    let slack = provider(senders::SLACK);
    let verdict = |now| check(&slack, &["8f742231b10e8888abcd99yyyzzz85a5"], &pairs, body.as_bytes(), now);
    assert_eq!(word(&verdict(1_531_420_618)), "valid");
    assert_eq!(word(&verdict(1_531_420_618 + 300)), "valid");
    assert_eq!(word(&verdict(1_531_420_618 + 301)), "stale");
    assert_eq!(word(&verdict(1_531_420_618 - 301)), "stale");
}

/// Source: Svix's documentation, "Verifying webhooks manually", which the Standard Webhooks specification took over.
#[test]
fn standard_webhooks_own_example_is_valid_under_both_sets_of_names() {
    let sent = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let body = br#"{"test": 2432232314}"#;
    for set in ["webhook", "svix"] {
        let names = [format!("{set}-id"), format!("{set}-timestamp"), format!("{set}-signature")];
        let pairs = [
            (names[0].as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            (names[1].as_str(), "1614265330"),
            (names[2].as_str(), sent),
        ];
        for key in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(word(&check(&builtin("standard-webhooks"), &[key], &pairs, body, 1_614_265_330)), "valid");
        }
    }
}

/// Source: go-pagerduty, `webhookv3/webhookv3_test.go`.
#[test]
fn pagerdutys_own_example_is_valid() {
    let body = r#"{"event":{"id":"01BWDWL3NYY7LUFPZCC28QUCMK","event_type":"incident.priority_updated","resource_type":"incident","occurred_at":"2021-04-26T17:36:27.458Z","agent":{"html_url":"https://acme.pagerduty.com/users/PLH1HKV","id":"PLH1HKV","self":"https://api.pagerduty.com/users/PLH1HKV","summary":"Tenex Engineer","type":"user_reference"},"client":null,"data":{"id":"PGR0VU2","type":"incident","self":"https://api.pagerduty.com/incidents/PGR0VU2","html_url":"https://acme.pagerduty.com/incidents/PGR0VU2","number":2,"status":"triggered","title":"A little bump in the road","service":{"html_url":"https://acme.pagerduty.com/services/PF9KMXH","id":"PF9KMXH","self":"https://api.pagerduty.com/services/PF9KMXH","summary":"API Service","type":"service_reference"},"assignees":[{"html_url":"https://acme.pagerduty.com/users/PTUXL6G","id":"PTUXL6G","self":"https://api.pagerduty.com/users/PTUXL6G","summary":"User 123","type":"user_reference"}],"escalation_policy":{"html_url":"https://acme.pagerduty.com/escalation_policies/PUS0KTE","id":"PUS0KTE","self":"https://api.pagerduty.com/escalation_policies/PUS0KTE","summary":"Default","type":"escalation_policy_reference"},"teams":[{"html_url":"https://acme.pagerduty.com/teams/PFCVPS0","id":"PFCVPS0","self":"https://api.pagerduty.com/teams/PFCVPS0","summary":"Engineering","type":"team_reference"}],"priority":{"html_url":"https://acme.pagerduty.com/account/incident_priorities","id":"PSO75BM","self":"https://api.pagerduty.com/priorities/PSO75BM","summary":"P1","type":"priority_reference"},"urgency":"high","conference_bridge":{"conference_number":1000,"conference_url":"https://example.com"},"resolve_reason":null}}}"#;
    let key = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK";
    let right = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd";
    let wrong = "v1=7020c8a7ec668a9b7012bc3dd82e483394b038f4230acc6785efbf2a7d8bcaf5";
    let pagerduty = provider(senders::PAGERDUTY);
    let verdict = |sent: &str| word(&check(&pagerduty, &[key], &[("X-PagerDuty-Signature", sent)], body.as_bytes(), 0));
    assert_eq!(verdict(right), "valid");
    assert_eq!(verdict(wrong), "invalid");
    assert_eq!(verdict(&format!("{wrong},{right}")), "valid");
    assert_eq!(verdict(&format!("v2=00, {right}")), "valid");
    assert_eq!(verdict(""), "invalid");
}

/// Source: Twilio's documentation, "Security", and twilio-python `tests/unit/test_request_validator.py`.
#[test]
fn twilios_own_examples_are_valid_for_forms_and_json() {
    let twilio = provider(senders::TWILIO);
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let form = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
    let of = |url: &str, pairs: &[(&str, &str)], body: &str| {
        word(&check_url(&twilio, &["12345"], url, pairs, body.as_bytes(), 0))
    };
    let sent =
        [("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), ("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(of(url, &sent, form), "valid");
    assert_eq!(of(&url.replace(".com/", ".com:443/"), &sent, form), "valid", "the port does not matter");
    assert_eq!(of(url, &sent, &form.replace("1234&", "1235&")), "invalid");
    let json = r#"{"property": "value", "boolean": true}"#;
    let hashed = format!("{url}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
    let sent = [("X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="), ("Content-Type", "application/json")];
    assert_eq!(of(&hashed, &sent, json), "valid");
    assert_eq!(of(&hashed, &sent, &json.replace("true", "false")), "invalid", "the body's hash is checked");
}
