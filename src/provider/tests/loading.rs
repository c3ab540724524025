//! Manifests from files: what is told when they are wrong, and what stays.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::provider::Registry;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

#[test]
fn a_fault_names_its_line_its_column_and_the_nearest_key() {
    for (yaml, expected) in [
        ("name: a\nsignatur: {}\n", "test.yaml:2:1: signatur: unknown key (did you mean 'signature'?)"),
        ("title: a\n", "name: this key is missing"),
        (
            "name: a\nsignature:\n  schemes:\n    - { kind: hmac, header: x, algoritm: sha1 }\n",
            "test.yaml:4:32: algoritm: unknown key (did you mean 'algorithm'?)",
        ),
        (
            "name: a\nsignature:\n  schemes:\n    - { kind: hnac, header: x }\n",
            "'hnac' is not one of: hmac, ed25519, token, basic (did you mean 'hmac'?)",
        ),
        ("name: A b\n", "test.yaml:1:7: name: a provider's name is"),
        (
            "name: a\nsummaries:\n  push:\n    title: \"{{ payload.\"\n",
            "test.yaml:4:12: summaries.push.title: syntax error",
        ),
        ("name: a\nfacts:\n  who: payload.(\n", "test.yaml:3:8: facts.who: syntax error"),
        ("name: a\nfacts:\n  payload: 1\n", "test.yaml:3:12: facts.payload: 'payload' is taken"),
        (
            "name: a\nsummaries:\n  push: { title: \"{{ event | wrods }}\" }\n",
            "test.yaml:3:18: summaries.push.title: unknown filter",
        ),
        (
            "name: a\nsummaries:\n  default: { title: \"{{ 1 / payload.n }}\" }\nevents: [{ name: push, example: { n: 0 } }]\n",
            "test.yaml:3:21: summaries.default.title: invalid operation",
        ),
        (
            "name: a\nsummaries:\n  default: { title: \"{{ payload.n }}\" }\nevents: [{ name: push, example: { n: null } }]\n",
            "the title comes out empty, with the example of 'push'",
        ),
        ("name: a\nsummaries:\n  push: { title: a }\n  push.*: { title: a }\n", "two patterns cover the same events"),
        (
            "name: a\nsender: { overload_status: 200 }\n",
            "test.yaml:2:28: sender.overload_status: 200 is not a status from 400 to 599",
        ),
        ("name: a\nsignature: { schemes: [{ kind: hmac, header: \"x y\" }] }\n", "'x y' is no header name"),
        (
            "name: a\nsignature: { schemes: [{ kind: hmac, header: x, content: \"{timestamp}.{body}\" }] }\n",
            "so say in which header or field it is",
        ),
        (
            "name: a\nsignature: { schemes: [{ kind: hmac, header: x, timestamp: { header: t, window: 300 y } }] }\n",
            "'300 y' is no time from 1s to 24h",
        ),
        (
            "name: a\nsignature: { schemes: [{ kind: token, header: x, content: \"{body}\" }] }\n",
            "a token and Basic sign nothing",
        ),
        ("name: a\nhandshake: [{ when: {}, reply: {} }]\n", "every request would be a handshake"),
        ("name: a\nhandshake: [{ when: { evnt: ping } }]\n", "`evnt` is not one of"),
        ("name: a\nname: b\n", "test.yaml:2:"),
        ("name: [\n", "test.yaml:"),
        ("", "test.yaml:"),
    ] {
        let told = faults(yaml);
        assert!(told.contains(expected), "{yaml}\nexpected: {expected}\ntold: {told}");
    }
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let told = faults("name: A\nsender: { success_status: 500 }\nfacts: { a: '(', b: ')' }\nheaders: ['x y']\n");
    assert_eq!(told.lines().count(), 5, "{told}");
}

#[test]
fn files_add_to_the_built_in_providers_and_replace_them_and_a_broken_one_costs_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (providers, integrations) = (folder.path().join("providers"), folder.path().join("integrations"));
    let (registry, faults) = Registry::load(&providers, &integrations);
    assert_eq!((registry.names(), faults.len()), (Registry::builtin().names(), 0), "absent folders are fine");
    write(&providers, "acme.yaml", "name: acme\ntitle: Acme\n");
    write(&providers, "stripe.yml", "name: stripe\ntitle: Our Stripe\n");
    write(&providers, "github.yaml", "name: github\ntitel: broken\n");
    write(&providers, "second.yaml", "name: acme\n");
    write(&providers, "notes.txt", "not a manifest");
    write(
        &providers,
        "example.yaml",
        "name: example\nevents: [{ name: a, example_file: a.json }, { name: b, example_file: none.json }]\n",
    );
    write(&providers, "a.json", "{}");
    write(&integrations, "native/provider.yaml", "name: native\n");
    let (registry, faults) = Registry::load(&providers, &integrations);
    assert_eq!(registry.get("acme").expect("added").title(), "Acme");
    assert_eq!(registry.get("stripe").expect("replaced").title(), "Our Stripe");
    assert_eq!(registry.get("github").expect("kept").title(), "GitHub");
    assert!(registry.get("native").is_some() && registry.get("example").is_none());
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("example.yaml:2:") && told[0].contains("cannot be read"), "{}", told[0]);
    assert!(told[1].contains("github.yaml:2:1: titel: unknown key"), "{}", told[1]);
    assert!(told[2].contains("provider 'acme' is already in"), "{}", told[2]);
}

const REFERENCE: &str = r#"
name: github
version: 1.0.0
base_url: https://api.github.com

webhook_events:
  - name: push
    description: Repository push event
    payload_schema: schema://github.push.json
    example_payload:
      repository:
        full_name: "user/repo"
      pusher:
        name: "developer"

  - name: pull_request
    description: Pull request event
    payload_schema: schema://github.pr.json

metadata:
  webhook_config:
    signature_header: X-Hub-Signature-256
    signature_algorithm: hmac_sha256
    secret: "{{env.GITHUB_WEBHOOK_SECRET}}"
"#;

#[test]
fn the_earlier_shape_extends_a_built_in_provider_and_keeps_its_summaries() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "github/provider.yaml", REFERENCE);
    let (registry, faults) = Registry::load(&folder.path().join("none"), folder.path());
    assert!(faults.is_empty(), "{faults:?}");
    let github = registry.get("github").expect("there");
    assert_eq!((github.title(), github.secret_env()), ("GitHub", Some("GITHUB_WEBHOOK_SECRET")));
    assert_eq!(github.signature_header_shown(), "X-Hub-Signature-256");
    let push = github.events().iter().find(|info| info.name == "push").expect("an event");
    assert_eq!((push.description.as_str(), push.has_schema), ("Repository push event", true));
    assert_eq!(github.prepare_example("push").expect("an example")["pusher"]["name"], "developer");
    let title = github
        .summarize("push", &json!({"repository": {"full_name": "a/b"}, "pusher": {"name": "ann"}}), &[])
        .message
        .title;
    assert!(title.contains("ann") && title.contains("a/b"), "{title}");
}

#[test]
fn the_earlier_shape_of_an_unknown_sender_stands_on_custom() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "crm/provider.yaml",
        &REFERENCE.replace("name: github", "name: crm").replace("X-Hub-Signature-256", "X-Crm-Signature"),
    );
    write(
        folder.path(),
        "leaky/provider.yaml",
        &REFERENCE.replace("name: github", "name: leaky").replace("{{env.GITHUB_WEBHOOK_SECRET}}", "hunter2"),
    );
    write(
        folder.path(),
        "odd/provider.yaml",
        &REFERENCE.replace("name: github", "name: odd").replace("hmac_sha256", "rot13"),
    );
    let (registry, faults) = Registry::load(&folder.path().join("none"), folder.path());
    let crm = registry.get("crm").expect("there");
    assert_eq!((crm.title(), crm.signature_header_shown(), crm.events().len()), ("Crm", "X-Crm-Signature", 2));
    let right = hex_hmac("k", "{}");
    for sent in [right.clone(), format!("sha256={right}")] {
        assert_eq!(word(&check(crm, &["k"], &[("X-Crm-Signature", &sent)], b"{}", 0)), "valid");
    }
    assert_eq!(word(&check(crm, &["k"], &[("X-Hub-Signature-256", &right)], b"{}", 0)), "missing");
    let of = |pairs: &[(&str, &str)], payload| crm.read(&headers(pairs), &payload).expect("an event").event;
    assert_eq!(of(&[("X-Crm-Event", "lead.won")], json!({"type": "x"})), "lead.won");
    assert_eq!(of(&[], json!({"type": "lead.lost"})), "lead.lost");
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("names no environment variable") && !told[0].contains("hunter2"), "{}", told[0]);
    assert!(told[1].contains("'rot13' is not supported"), "{}", told[1]);
    assert!(registry.get("leaky").is_none());
}

#[test]
fn words_in_an_example_stay_words() {
    let yaml = "name: a\nevents: [{ name: e, example: { country: no, switch: on, letter: y, flag: true, v: 1.10, t: 12:30, d: 2026-10-03, o: 010 } }]\n";
    let example = provider(yaml).events()[0].example.clone().expect("an example");
    let expected = json!({"country": "no", "switch": "on", "letter": "y", "flag": true, "v": 1.1, "t": "12:30", "d": "2026-10-03", "o": "010"});
    assert_eq!(example, expected);
}
