//! How events read, and what templates cannot do whatever they say.

use serde_json::{Value, json};

use super::*;
use crate::domain::notice::{Severity, Summary};

fn reads(yaml: &str, event: &str, payload: Value) -> Summary {
    provider(yaml).summarize(event, &payload, &[])
}

fn title(template: &str, payload: Value) -> String {
    let yaml = format!("name: t\ntitle: T\nsummaries:\n  default:\n    title: {}\n", json!(template));
    reads(&yaml, "some.event", payload).message.title
}

#[test]
fn custom_finds_the_thing_itself_where_well_known_senders_have_it() {
    use crate::domain::notice::Severity;
    let cases = [
        (
            "unknown",
            json!({"heartbeat": {"status": 0}, "monitor": {"name": "web"}, "msg": "[web] [🔴 Down] connect ECONNREFUSED"}),
            "[web] [🔴 Down] connect ECONNREFUSED",
            Severity::Critical,
        ),
        (
            "build",
            json!({"event": "build", "status": "success", "project": {"name": "api"}}),
            "Build: api (success)",
            Severity::Good,
        ),
        (
            "deployment.succeeded",
            json!({"type": "deployment.succeeded", "payload": {"deployment": {"name": "my-app", "id": "dpl_1"}}}),
            "Deployment succeeded: my-app",
            Severity::Good,
        ),
        (
            "invitee.created",
            json!({"event": "invitee.created", "payload": {"name": "Jane Doe", "email": "jane@example.com"}}),
            "Invitee created: Jane Doe (jane@example.com)",
            Severity::Info,
        ),
        (
            "payment.captured",
            json!({"event": "payment.captured", "payload": {"payment": {"entity": {"id": "pay_1", "description": "Tea", "amount": 5000}}}}),
            "Payment captured: Tea",
            Severity::Info,
        ),
        (
            "ORDER_PAID",
            json!({"type": "ORDER_PAID", "order": {"number": "1007", "total": "29.90", "currency": "EUR"}}),
            "Order paid: 1007 (€29.90)",
            Severity::Info,
        ),
        (
            "alert",
            json!({"event": "alert", "severity": "warning", "message": "disk"}),
            "Alert: disk",
            Severity::Warning,
        ),
    ];
    for name in ["custom", "bearer", "basic"] {
        for (event, payload, title, severity) in &cases {
            let message = builtin(name).summarize(event, payload, &[]).message;
            assert_eq!((message.title.as_str(), message.severity), (*title, *severity), "{name} {event}");
        }
    }
    let event = "dev.cdevents.pipelinerun.finished.0.1.0";
    let message =
        builtin("cloudevents").summarize(event, &json!({"type": event, "source": "/ci", "data": {}}), &[]).message;
    assert_eq!(message.title, "Pipelinerun finished (/ci)");
}

#[test]
fn small_news_reads_as_news() {
    let title = |name: &str, event: &str, payload: Value| builtin(name).summarize(event, &payload, &[]).message.title;
    let lines = |name: &str, event: &str, payload: Value| builtin(name).summarize(event, &payload, &[]).message.lines;
    let john =
        json!({"event_name": "user_create", "name": "John", "email": "j@x.example", "username": "js", "user_id": 41});
    assert_eq!(title("gitlab", "user_create", john), "Account of John created (@js)");
    let team = json!({"event_name": "user_add_to_team", "access_level": "Maintainer", "project_path_with_namespace": "acme/shop", "user_username": "js"});
    assert_eq!(title("gitlab", "user_add_to_team", team), "js is now maintainer in project acme/shop");
    let group = json!({"event_name": "group_rename", "full_path": "acme/new", "old_full_path": "acme/old"});
    assert_eq!(title("gitlab", "group_rename", group.clone()), "Group acme/new renamed");
    assert_eq!(lines("gitlab", "group_rename", group), ["Was acme/old"]);
    let order = json!({"name": "#9999", "total_price": "199.00", "currency": "USD", "test": true, "line_items": [{"title": "Tea", "quantity": 1}]});
    assert!(lines("shopify", "orders/create", order)[0].starts_with("Test order · "));
    let gone = builtin("shopify").summarize("app/uninstalled", &json!({"name": "x", "domain": "x"}), &[]).message.title;
    assert_eq!(gone, "The app was uninstalled from x");
    let alert = json!({"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "slow"}, "values": {"A": 1.23456789012, "B": 0.1, "C": 123456.7}}]});
    assert_eq!(lines("grafana", "firing", alert), ["A = 1.235, B = 0.1, C = 123457"]);
    let due = json!({"action": "update", "type": "Issue", "data": {"identifier": "ENG-1", "title": "Fix", "dueDate": "2026-12-01"}, "updatedFrom": {"dueDate": null}, "actor": {"name": "Ann"}});
    assert_eq!(title("linear", "Issue.update", due.clone()), "Ann set ENG-1 due on 1 Dec 2026: Fix");
    assert_eq!(lines("linear", "Issue.update", due), Vec::<String>::new());
}

#[test]
fn filters_write_as_people_do() {
    let payload = json!({
        "ref": "refs/heads/feature/x", "tag": "refs/tags/v1.2", "sha": "6f5e4d3c2b1a0f9e", "text": "\n  First line \nsecond",
        "one": [1], "two": [1, 2], "n": 1_234_567, "names": ["a", "b", "c", "d"], "people": [{"login": "ann"}, {"name": "Bob"}],
        "at": 1_790_000_000, "iso": "2026-10-03T14:05:00Z", "end": "2026-10-03T14:07:05Z", "ms": 1_790_000_000_123_i64,
        "api": "https://api.github.com/x", "web": "https://github.com/x", "map": {"a": {"b": 1}}, "nil": null, "yes": true, "f": 2.5
    });
    for (template, expected) in [
        ("{{ payload.ref | branch }} {{ payload.tag | branch }} {{ 'main' | branch }}", "feature/x v1.2 main"),
        ("{{ payload.sha | short_sha }}", "6f5e4d3"),
        ("{{ payload.text | first_line }}", "First line"),
        ("{{ 'abcdef' | clip(4) }}", "abc…"),
        (
            "{{ payload.one | count('commit') }}, {{ payload.two | count('commit') }}, {{ 0 | count('branch') }}",
            "1 commit, 2 commits, 0 branches",
        ),
        (
            "{{ payload.nil | count('reply') }} {{ payload.two | count('entry') }} {{ 2 | count('person', 'people') }}",
            "0 replies 2 entries 2 people",
        ),
        ("{{ payload.n | number }} {{ payload.n | count }} {{ payload.f }}", "1,234,567 1,234,567 2.5"),
        (
            "{{ 'pull_request.ready_for_review' | words | sentence }} {{ 'orderCreated' | words }}",
            "Pull request ready for review order created",
        ),
        (
            "{{ payload.names | listing(2) }} | {{ payload.people | listing }} | {{ payload.people | listing(5, 'login') }}",
            "a, b and 2 more | ann, Bob | ann",
        ),
        (
            "{{ 2999 | money('usd') }} {{ money(500, 'jpy') }} {{ '29.9' | amount('EUR') }} {{ '2999' | money('usd') }}",
            "$29.99 ¥500 €29.90 $29.99",
        ),
        (
            "{{ payload.at | date }} / {{ payload.iso | day }} / {{ payload.ms | day }}",
            "21 Sep 2026 14:13 UTC / 3 Oct 2026 / 21 Sep 2026",
        ),
        (
            "{{ 45 | duration }} {{ 125 | duration }} {{ 3780 | duration }} {{ 187200 | duration }} {{ 0.25 | duration }}",
            "45 s 2 min 5 s 1 h 3 min 2 d 4 h 250 ms",
        ),
        ("{{ between(payload.iso, payload.end) }}", "2 min 5 s"),
        ("{{ 1500000 | size }} {{ 999 | size }}", "1.5 MB 999 B"),
        (
            "{{ payload.web | host }} [{{ payload.api | web_url }}] {{ payload.web | web_url }}",
            "github.com [] https://github.com/x",
        ),
        ("{{ payload.people[0] | user }} {{ payload.people[1] | user }} {{ 'zoe' | user }}", "ann Bob zoe"),
        (
            "{{ pick(payload.nil, '', payload.nope, 'this') }} {{ payload.two | length }} {{ payload.nope | length }}",
            "this 2 0",
        ),
        ("a {{ payload.nil }}{{ payload.nope.deep.er }}{{ payload.map }}{{ payload.map.a ~ '' }} b", "a b"),
        ("{{ payload.names }} {{ payload.people }} {{ payload.yes }}", "a, b, c, d true"),
        ("{{ [payload.map, payload.one, 'x'] }} {{ {'a': 1} }} y", "x y"),
        (
            "{{ payload.nope | money('usd') }}{{ payload.map | branch }}{{ payload.nil | upper }}{{ payload.map | date }}{{ 'x' | money }}z",
            "z",
        ),
    ] {
        assert_eq!(title(template, payload.clone()), expected, "{template}");
    }
}

#[test]
fn the_most_specific_pattern_speaks_and_the_default_lends_its_link() {
    let yaml = r#"
name: t
title: T
facts: { repo: payload.repo, broken: "payload.n / payload.zero" }
summaries:
  a.b.c: { title: "exact {{ facts.repo }}", url: "", severity: critical }
  a.b: { title: "two" }
  a.*: { title: "one", severity: "{{ 'warning' if payload.bad else 'good' }}" }
  fails: { title: "{{ payload.n / payload.zero }}" }
  empty: { title: " {{ payload.nope }} " }
  default: { title: "default {{ repo }}{{ broken }}", url: "https://x.io/{{ repo }}", subject: "s", lines: ["{{ payload.nope }}", "kept"] }
"#;
    let of = |event: &str| reads(yaml, event, json!({"repo": "r", "n": 1, "zero": 0, "bad": true}));
    for (event, expected) in [
        ("a.b.c", "exact r"),
        ("a.b.d", "two"),
        ("a.b.c.d", "exact r"),
        ("a", "one"),
        ("a.z", "one"),
        ("ab", "default r"),
        ("fails", "default r"),
        ("empty", "default r"),
        ("default", "default r"),
        ("", "default r"),
    ] {
        assert_eq!(of(event).message.title, expected, "{event}");
    }
    assert_eq!((of("a.b.c").message.url, of("a.b.c").message.severity), (None, Severity::Critical));
    assert_eq!((of("a.b").message.url.as_deref(), of("a.b").subject.as_deref()), (Some("https://x.io/r"), Some("s")));
    assert_eq!(of("a.z").message.severity, Severity::Warning);
    assert_eq!(of("zzz").message.lines, ["kept"]);
    assert_eq!(of("a.b").message.lines, Vec::<String>::new());
}

#[test]
fn without_any_template_the_usual_facts_make_a_sentence() {
    let facts = "name: acme\ntitle: Acme\nfacts: { repo: payload.repo, actor: payload.who }\n";
    let of = |yaml: &str, payload: Value| reads(yaml, "deployment_status.created", payload).message.title;
    assert_eq!(
        of(facts, json!({"repo": "acme/shop", "who": "alice"})),
        "acme/shop: deployment status created by alice"
    );
    assert_eq!(of(facts, json!({"who": "alice"})), "Acme: deployment status created by alice");
    assert_eq!(of("name: acme\n", json!([])), "acme: deployment status created");
    assert_eq!(reads("name: acme\n", "unknown", json!({})).message.title, "acme: an event");
}

#[test]
fn text_from_a_payload_stays_text() {
    let hostile = "a\n{{ 7 * 7 }}<b>&\u{202E}txt\u{0}\u{200B}";
    assert_eq!(title("{{ payload.t }}", json!({"t": hostile})), "a {{ 7 * 7 }}<b>&txt");
    let long = title("{{ payload.t }}", json!({"t": "x".repeat(1_000_000)}));
    assert_eq!(long.chars().count(), 200);
    for bad in
        ["{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}", "{{ 'x' * 1000000000 }}"]
    {
        assert_eq!(title(bad, json!({})), "T: some event", "too much work falls to the built-in sentence");
    }
}

#[test]
fn no_template_reaches_other_files_or_prints_json() {
    for bad in ["{% include 'x' %}a", "{{ payload | tojson }}", "{{ payload | pprint }}", "{{ debug() }}"] {
        let yaml = format!("name: t\ntitle: T\nsummaries:\n  default:\n    title: {}\n", json!(bad));
        let outcome = compile::parse(&yaml, "t.yaml", None);
        let shown = outcome.map(|provider| provider.summarize("e", &json!({"a": 1}), &[]).message.title);
        assert!(shown.as_ref().map_or(true, |title| title == "T: e"), "{bad}: {shown:?}");
    }
}

#[test]
fn only_headers_that_the_manifest_names_are_seen() {
    let shopify = provider(senders::SHOPIFY);
    let sent = |name: &str| [(name.to_owned(), "acme.myshopify.com".to_owned())];
    let of = |name: &str| shopify.summarize("orders/create", &json!({}), &sent(name)).message.title;
    assert_eq!(of("x-shopify-shop-domain"), "acme.myshopify.com: orders create");
    assert_eq!(of("x-other"), ": orders create");
}

#[test]
fn custom_events_read_as_sentences() {
    let custom = builtin("custom");
    for (event, payload, expected) in [
        (
            "user.created",
            json!({"event_type": "user.created", "user": {"name": "John Doe", "email": "user@example.com"}}),
            "User created: John Doe (user@example.com)",
        ),
        (
            "user.created",
            json!({"data": {"name": "John Doe", "email": "user@example.com"}}),
            "User created: John Doe (user@example.com)",
        ),
        ("user.created", json!({"data": {"email": "user@example.com"}}), "User created: user@example.com"),
        ("deploy_finished", json!({"service": "api"}), "Deploy finished: api"),
        ("alert", json!({"message": "Disk full\nsecond line"}), "Alert: Disk full"),
        ("unknown", json!({"text": "Hello"}), "Hello"),
        ("unknown", json!({}), "Event received"),
        ("unknown", json!([1, 2]), "Event received"),
        ("unknown", json!("text"), "Event received"),
        ("ping", json!({"name": {"nested": 1}, "message": {"nested": [1]}, "data": [], "user": 5}), "Ping"),
    ] {
        assert_eq!(custom.summarize(event, &payload, &[]).message.title, expected, "{event} {payload}");
    }
    let summary = custom.summarize(
        "deployment",
        &json!({"service": "api", "version": "1.4.2", "environment": "production", "status": "failed", "message": "Timed out",
            "url": "https://ci.example.com/1", "actor": {"login": "ann"}}),
        &[],
    );
    assert_eq!(summary.message.title, "Deployment: api 1.4.2 (failed, production)");
    assert_eq!(summary.message.lines, ["Timed out", "By ann"]);
    assert_eq!(summary.message.url.as_deref(), Some("https://ci.example.com/1"));
    assert_eq!(summary.message.severity, Severity::Warning);
}
