//! How events of GitHub and Stripe read: a scorer that knows the facts each type must carry, the exact words of the common
//! ones, and payloads whose every value is hostile. The scorer also reads a folder of real payloads where there is one.

use std::path::Path;

use hookhand::domain::notice::{Severity, Summary};
use hookhand::provider::{LINE_CHARS_MAX, LINES_MAX, Provider, Registry, SUBJECT_CHARS_MAX, TITLE_CHARS_MAX};
use serde_json::{Value, json};

/// Types whose title names a finder (Dependabot, GitHub itself) and not the account that delivered the news.
const NO_ACTOR: &[&str] = &["dependabot_alert.created", "repository_vulnerability_alert.create", "security_advisory"];

/// What a type's message must say: the event, or the part before the first dot, and pointers into the payload.
const FACTS: &[(&str, &[&str])] = &[
    ("branch_protection_rule", &["/rule/name"]),
    ("check_run", &["/check_run/name", "/check_run/check_suite/head_branch"]),
    ("check_suite", &["/check_suite/head_branch", "/check_suite/app/name"]),
    ("code_scanning_alert", &["/alert/number", "/alert/tool/name"]),
    ("commit_comment", &["/comment/body"]),
    ("create", &["/ref", "/ref_type"]),
    ("delete", &["/ref", "/ref_type"]),
    ("dependabot_alert", &["/alert/dependency/package/name", "/alert/security_advisory/cve_id"]),
    ("dependabot_alert.created", &["/alert/security_advisory/severity", "/alert/dependency/manifest_path"]),
    ("deploy_key", &["/key/title"]),
    ("deployment_status", &["/deployment/environment", "/deployment/ref"]),
    ("discussion", &["/discussion/number", "/discussion/title"]),
    ("discussion_comment", &["/discussion/number", "/discussion/title", "/comment/body"]),
    ("fork", &["/forkee/full_name"]),
    ("gollum", &["/pages/0/title", "/pages/0/action"]),
    ("issue_comment", &["/issue/number", "/issue/title", "/comment/body"]),
    ("issues", &["/issue/number", "/issue/title"]),
    ("issues.assigned", &["/issue/number"]),
    ("issues.labeled", &["/label/name"]),
    ("issues.unlabeled", &["/label/name"]),
    ("issues.milestoned", &["/milestone/title"]),
    ("issues.demilestoned", &["/milestone/title"]),
    ("label", &["/label/name"]),
    ("marketplace_purchase", &["/marketplace_purchase/plan/name", "/marketplace_purchase/account/login"]),
    ("member", &["/member/login"]),
    ("membership", &["/member/login", "/team/name"]),
    ("milestone", &["/milestone/title"]),
    ("org_block", &["/blocked_user/login"]),
    ("organization.member_added", &["/membership/user/login"]),
    ("package", &["/package/name", "/package/package_version/version"]),
    ("ping", &["/zen"]),
    ("pull_request", &["/pull_request/number", "/pull_request/title"]),
    ("pull_request.opened", &["/pull_request/head/ref", "/pull_request/base/ref", "/pull_request/additions"]),
    ("pull_request.closed", &["/pull_request/head/ref", "/pull_request/base/ref"]),
    ("pull_request.labeled", &["/label/name"]),
    ("pull_request.unlabeled", &["/label/name"]),
    ("pull_request.review_requested", &["/requested_reviewer/login"]),
    ("pull_request.review_request_removed", &["/requested_reviewer/login"]),
    ("pull_request_review", &["/pull_request/number", "/pull_request/title", "/review/body"]),
    ("pull_request_review_comment", &["/pull_request/number", "/comment/body", "/comment/path"]),
    ("release", &["/release/tag_name"]),
    (
        "repository_vulnerability_alert",
        &["/alert/affected_package_name", "/alert/external_identifier", "/alert/fixed_in"],
    ),
    ("secret_scanning_alert", &["/alert/secret_type_display_name"]),
    ("star", &["/repository/stargazers_count"]),
    ("status", &["/context", "/branches/0/name"]),
    ("team", &["/team/name"]),
    ("workflow_job", &["/workflow_job/name", "/workflow_job/workflow_name", "/workflow_job/head_branch"]),
    ("workflow_run", &["/workflow/name", "/workflow_run/head_branch"]),
    ("workflow_run.completed", &["/workflow_run/run_number"]),
];

struct Case {
    label: String,
    event: String,
    payload: Value,
}

fn registry() -> Registry {
    Registry::builtin()
}

fn provider<'r>(registry: &'r Registry, name: &str) -> &'r Provider {
    registry.get(name).expect("built in")
}

fn examples(provider: &Provider) -> Vec<Case> {
    let named = provider.events().iter().filter_map(|info| {
        let payload = info.example.clone()?;
        Some(Case { label: info.name.clone(), event: info.name.clone(), payload })
    });
    named.collect()
}

/// Payloads beside the repository: `<event>.<n>.json`. None when there is no such folder.
fn recorded() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/github");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut cases = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        let label = path.file_name().expect("a file").to_string_lossy().into_owned();
        let payload: Value = serde_json::from_slice(&std::fs::read(&path).expect("a readable file")).expect("JSON");
        let base = label.split('.').next().unwrap_or_default();
        let event = match payload["action"].as_str() {
            Some(action) => format!("{base}.{action}"),
            None => base.to_owned(),
        };
        cases.push(Case { label, event, payload });
    }
    cases.sort_by(|a, b| a.label.cmp(&b.label));
    cases
}

fn text_at(payload: &Value, pointer: &str) -> Option<String> {
    match payload.pointer(pointer)? {
        Value::String(text) if !text.trim().is_empty() => Some(first_line(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(60).collect()
}

/// What is wrong with a message whatever it is about.
fn shape_faults(summary: &Summary) -> Vec<String> {
    let message = &summary.message;
    let mut faults = Vec::new();
    let mut check = |ok: bool, what: &str| {
        if !ok {
            faults.push(what.to_owned());
        }
    };
    let title = &message.title;
    check(!title.is_empty() && title.chars().count() <= TITLE_CHARS_MAX, "title length");
    check(message.lines.len() <= LINES_MAX, "number of lines");
    check(summary.subject.as_ref().is_none_or(|s| s.chars().count() <= SUBJECT_CHARS_MAX), "subject length");
    if let Some(url) = &message.url {
        check(url.starts_with("https://"), "link is not https");
        check(!url.contains("://api."), "link for machines");
    }
    for line in std::iter::once(title).chain(&message.lines) {
        check(line.chars().count() <= LINE_CHARS_MAX, "line length");
        check(!line.contains(['\n', '\r', '\u{202E}']), "more than one line, or reordered");
        check(!line.contains("  ") && line.trim() == line, "spaces");
        check(!line.contains("api.github.com"), "an address for machines");
    }
    for hole in ["()", "''", "\"\"", "[]", "( ", " )", " ,", " :", "{", "}"] {
        check(!title.contains(hole), &format!("a hole: {hole}"));
    }
    for end in [" by", " to", " in", " of", " on", " from", " for", " at", ":", ","] {
        check(!title.ends_with(end), &format!("ends with {end:?}"));
    }
    faults
}

/// Words that a template prints when it meets something that is not there.
fn absent_word(summary: &Summary) -> Option<&'static str> {
    let message = &summary.message;
    let all = std::iter::once(&message.title).chain(&message.lines).chain(&message.url).chain(&summary.subject);
    let texts: Vec<String> = all.map(|text| text.to_lowercase()).collect();
    let is = |text: &str, word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    ["null", "none", "undefined"].into_iter().find(|word| texts.iter().any(|text| is(text, word)))
}

/// What a GitHub message lacks of who, what and where.
fn github_faults(case: &Case, summary: &Summary) -> Vec<String> {
    let mut faults = shape_faults(summary);
    faults.extend(absent_word(summary).map(|word| format!("says {word}")));
    let title = &summary.message.title;
    let places = ["/repository/full_name", "/organization/login", "/installation/account/login", "/enterprise/slug"];
    let place = places.iter().find_map(|pointer| text_at(&case.payload, pointer));
    if let Some(place) = place
        && !title.contains(&place)
    {
        faults.push(format!("no place {place}"));
    }
    let base = case.event.split('.').next().unwrap_or_default();
    if let Some(actor) = text_at(&case.payload, "/sender/login")
        && !title.contains(&actor)
        && !NO_ACTOR.contains(&case.event.as_str())
        && !NO_ACTOR.contains(&base)
    {
        faults.push(format!("no actor {actor}"));
    }
    if summary.message.url.is_none() {
        faults.push("no link".into());
    }
    if summary.subject.is_none() {
        faults.push("no subject".into());
    }
    let told = format!("{title}\n{}", summary.message.lines.join("\n"));
    for (_, pointers) in FACTS.iter().filter(|(name, _)| *name == base || *name == case.event) {
        let values = pointers.iter().filter_map(|pointer| Some((pointer, text_at(&case.payload, pointer)?)));
        faults.extend(values.filter(|(_, v)| !told.contains(v.as_str())).map(|(p, v)| format!("{p} is missing: {v}")));
    }
    faults
}

#[test]
fn every_github_message_says_who_did_what_to_which_thing_where() {
    let registry = registry();
    let github = provider(&registry, "github");
    let mut faults = Vec::new();
    for case in examples(github).into_iter().chain(recorded()) {
        let summary = github.summarize(&case.event, &case.payload, &[]);
        for fault in github_faults(&case, &summary) {
            faults.push(format!("{}: {fault}: {}", case.label, summary.message.title));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_stripe_message_has_its_amount_its_payer_and_a_link_to_the_dashboard() {
    let registry = registry();
    let stripe = provider(&registry, "stripe");
    for case in examples(stripe) {
        let summary = stripe.summarize(&case.event, &case.payload, &[]);
        let faults = shape_faults(&summary);
        assert!(faults.is_empty() && absent_word(&summary).is_none(), "{}: {faults:?} {summary:?}", case.label);
        let url = summary.message.url.clone().unwrap_or_default();
        assert!(url.starts_with("https://dashboard.stripe.com/") && !url.contains("/test/"), "{url}");
        assert!(summary.subject.is_some(), "{}", case.label);
        let object = &case.payload["data"]["object"];
        let title = &summary.message.title;
        if object["amount"].is_number() || object["amount_due"].is_number() || object["amount_total"].is_number() {
            assert!(title.contains(['$', '€']), "no amount: {title}");
        }
        if let Some(mail) = ["/customer_email", "/receipt_email", "/email"].iter().find_map(|p| text_at(object, p)) {
            assert!(title.contains(&mail), "no payer: {title}");
        }
    }
}

#[test]
fn amounts_follow_the_currency_and_a_payload_of_three_keys_reads_well() {
    let registry = registry();
    let stripe = provider(&registry, "stripe");
    let cases = [
        (json!({"amount": 2000, "currency": "usd"}), "Charge of $20.00 succeeded"),
        (json!({"amount": 2000, "currency": "jpy"}), "Charge of ¥2,000 succeeded"),
        (json!({"amount": 2000, "currency": "kwd"}), "Charge of 2.000 KWD succeeded"),
        (json!({}), "Charge succeeded"),
    ];
    for (object, title) in cases {
        let payload = json!({"type": "charge.succeeded", "data": {"object": object}});
        assert_eq!(stripe.summarize("charge.succeeded", &payload, &[]).message.title, title);
    }
}

#[test]
fn a_test_mode_event_says_so_and_links_to_test_mode() {
    let registry = registry();
    let stripe = provider(&registry, "stripe");
    let payload = json!({"type": "payment_intent.succeeded", "livemode": false, "data": {"object":
        {"id": "pi_1", "object": "payment_intent", "amount": 500, "currency": "eur"}}});
    let message = stripe.summarize("payment_intent.succeeded", &payload, &[]).message;
    assert_eq!(message.url.as_deref(), Some("https://dashboard.stripe.com/test/payments/pi_1"));
    assert!(message.lines.contains(&"Test mode".to_owned()), "{message:?}");
}

#[test]
fn an_unknown_event_still_reads_well() {
    let registry = registry();
    let here = json!({"action": "created", "repository": {"full_name": "acme/shop"}, "sender": {"login": "alice"}});
    let github =
        |event: &str, payload: &Value| provider(&registry, "github").summarize(event, payload, &[]).message.title;
    assert_eq!(github("quantum_leap.created", &here), "acme/shop: quantum leap created by alice");
    assert_eq!(github("quantum_leap", &json!({})), "GitHub: quantum leap");
    assert_eq!(
        github(
            "pull_request.blessed",
            &json!({"action": "blessed", "number": 4, "pull_request": {"title": "X"},
        "repository": {"full_name": "acme/shop"}, "sender": {"login": "alice"}})
        ),
        "Pull request acme/shop#4 blessed by alice: X"
    );
    let object = json!({"data": {"object": {"id": "th_1", "amount": 100, "currency": "usd"}}});
    let stripe = provider(&registry, "stripe").summarize("time.machine.created", &object, &[]).message.title;
    assert_eq!(stripe, "Time machine of $1.00 was created");
}

#[test]
fn payloads_without_the_usual_parts_leave_no_holes() {
    let registry = registry();
    let shapes =
        [json!({}), json!(null), json!([1, "a"]), json!("text"), json!(7), json!({"repository": 3, "sender": []})];
    for name in ["github", "stripe"] {
        let provider = provider(&registry, name);
        for info in provider.events() {
            for shape in &shapes {
                for action in ["", ".created", ".deleted", ".updated", ".completed", ".x"] {
                    let event = format!("{}{action}", info.name);
                    let summary = provider.summarize(&event, shape, &[]);
                    let faults = shape_faults(&summary);
                    assert!(
                        faults.is_empty() && absent_word(&summary).is_none(),
                        "{event} {shape}: {faults:?} {summary:?}"
                    );
                }
            }
        }
    }
}

/// Replaces the leaf at `pointer`.
fn with(payload: &Value, pointer: &str, value: &Value) -> Value {
    let mut changed = payload.clone();
    if let Some(place) = changed.pointer_mut(pointer) {
        *place = value.clone();
    }
    changed
}

fn leaves(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| leaves(v, format!("{at}/{key}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| leaves(v, format!("{at}/{n}"), out)),
        _ => out.push(at),
    }
}

/// Whether changing this leaf can change the message: most of a payload is never read, and is not worth the time.
fn matters(provider: &Provider, case: &Case, pointer: &str, plain: &Summary) -> bool {
    [json!("zq"), json!(null)]
        .iter()
        .any(|v| &provider.summarize(&case.event, &with(&case.payload, pointer, v), &[]) != plain)
}

#[test]
fn hostile_values_keep_the_limits_and_never_print_what_is_not_there() {
    let hostile = [
        json!(""),
        json!("x".repeat(10_000)),
        json!("<b onclick=\"x()\">&amp;</b>\n\n<script>"),
        json!("safe\u{202E}gnp.exe"),
        json!("👩\u{200D}💻🔥"),
        json!(-1),
        json!(1.5e300),
        json!(true),
        json!([null, {"a": null}]),
        json!({"login": null, "deep": {"null": null}}),
    ];
    let registry = registry();
    for name in ["github", "stripe"] {
        let provider = provider(&registry, name);
        for case in examples(provider) {
            let plain = provider.summarize(&case.event, &case.payload, &[]);
            let mut pointers = Vec::new();
            leaves(&case.payload, String::new(), &mut pointers);
            for pointer in pointers.iter().filter(|pointer| matters(provider, &case, pointer, &plain)) {
                let none = provider.summarize(&case.event, &with(&case.payload, pointer, &Value::Null), &[]);
                let faults = shape_faults(&none);
                assert!(
                    faults.is_empty() && absent_word(&none).is_none(),
                    "{name} {} {pointer}: {faults:?} {none:?}",
                    case.label
                );
                for value in &hostile {
                    let summary = provider.summarize(&case.event, &with(&case.payload, pointer, value), &[]);
                    let message = &summary.message;
                    let long = message.lines.iter().any(|line| line.chars().count() > LINE_CHARS_MAX);
                    let bounded = message.title.chars().count() <= TITLE_CHARS_MAX && message.lines.len() <= LINES_MAX;
                    let one_line = !message.title.contains(['\n', '\u{202E}']) && !message.title.trim().is_empty();
                    let absent = absent_word(&summary);
                    assert!(
                        bounded && !long && one_line && absent.is_none(),
                        "{name} {} {pointer}: {summary:?}",
                        case.label
                    );
                    assert!(message.url.as_ref().is_none_or(|url| url.starts_with("http")), "{summary:?}");
                    if value.is_object() || value.as_str() == Some("") {
                        let faults = shape_faults(&summary);
                        assert!(faults.is_empty(), "{name} {} {pointer} {value}: {faults:?} {summary:?}", case.label);
                    }
                }
            }
        }
    }
}

/// A message as a reader sees it, on a few lines.
fn shown(case: &Case, summary: &Summary) -> String {
    let message = &summary.message;
    let mark = match message.severity {
        Severity::Info => "",
        Severity::Good => " [good]",
        Severity::Warning => " [warning]",
        Severity::Critical => " [critical]",
    };
    let mut text = format!("{}{mark}\n  {}\n", case.label, message.title);
    for line in &message.lines {
        text.push_str(&format!("    {line}\n"));
    }
    text.push_str(&format!(
        "    {} | {}\n",
        message.url.as_deref().unwrap_or("-"),
        summary.subject.as_deref().unwrap_or("-")
    ));
    text
}

fn all_shown(name: &str) -> String {
    let registry = registry();
    let provider = provider(&registry, name);
    examples(provider).iter().map(|case| shown(case, &provider.summarize(&case.event, &case.payload, &[]))).collect()
}

#[test]
fn the_words_of_the_common_github_events() {
    insta::assert_snapshot!(all_shown("github"), @"");
}

#[test]
fn the_words_of_the_stripe_events() {
    insta::assert_snapshot!(all_shown("stripe"), @"");
}
