//! How events of GitHub and Stripe read: a scorer that knows the facts each type must carry, the exact words of the common
//! ones, and payloads whose every value is hostile. The scorer also reads a folder of real payloads where there is one.

use std::path::Path;

use hookhand::domain::notice::{Severity, Summary};
use hookhand::provider::{LINE_CHARS_MAX, LINES_MAX, Provider, Registry, SUBJECT_CHARS_MAX, TITLE_CHARS_MAX};
use serde_json::{Value, json};

/// Types whose title names a finder (Dependabot, GitHub itself) and not the account that delivered the news.
const NO_ACTOR: &[&str] = &[
    "dependabot_alert.created",
    "repository_vulnerability_alert.create",
    "secret_scanning_alert.created",
    "security_advisory",
];

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
pub(crate) fn shape_faults(summary: &Summary) -> Vec<String> {
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
pub(crate) fn absent_word(summary: &Summary) -> Option<&'static str> {
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
    let shapes = [json!(null), json!([1, "a"]), json!("text"), json!(7), json!({"repository": 3, "sender": []})];
    let actions = ["", ".created", ".deleted", ".updated", ".completed", ".x"];
    // All actions with nothing at all, and each with another odd shape from event to event.
    for name in ["github", "stripe"] {
        let provider = provider(&registry, name);
        for (n, info) in provider.events().iter().enumerate() {
            let odd = actions.iter().enumerate().map(|(m, action)| (action, shapes[(n + m) % shapes.len()].clone()));
            for (action, shape) in actions.iter().map(|action| (action, json!({}))).chain(odd) {
                let event = format!("{}{action}", info.name);
                let summary = provider.summarize(&event, &shape, &[]);
                let faults = shape_faults(&summary);
                let whole = faults.is_empty() && absent_word(&summary).is_none();
                assert!(whole, "{event} {shape}: {faults:?} {summary:?}");
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
    // Each value of each example is taken away once; what the message is made of then becomes two of the hostile ones, in
    // rotation, so that all of them come to every example.
    let mut kinds = hostile.iter().cycle();
    for name in ["github", "stripe"] {
        let provider = provider(&registry, name);
        for case in examples(provider) {
            let changed_to = |pointer: &str, value: &Value| {
                provider.summarize(&case.event, &with(&case.payload, pointer, value), &[])
            };
            let plain = provider.summarize(&case.event, &case.payload, &[]);
            let mut pointers = Vec::new();
            leaves(&case.payload, String::new(), &mut pointers);
            for pointer in &pointers {
                let none = changed_to(pointer, &Value::Null);
                if none == plain {
                    continue;
                }
                let context = format!("{name} {} {pointer}", case.label);
                let faults = shape_faults(&none);
                assert!(faults.is_empty() && absent_word(&none).is_none(), "{context}: {faults:?} {none:?}");
                for value in kinds.by_ref().take(2) {
                    let summary = changed_to(pointer, value);
                    let message = &summary.message;
                    let long = message.lines.iter().any(|line| line.chars().count() > LINE_CHARS_MAX);
                    let bounded = message.title.chars().count() <= TITLE_CHARS_MAX && message.lines.len() <= LINES_MAX;
                    let one_line = !message.title.contains(['\n', '\u{202E}']) && !message.title.trim().is_empty();
                    let absent = absent_word(&summary);
                    assert!(bounded && !long && one_line && absent.is_none(), "{context}: {summary:?}");
                    assert!(message.url.as_ref().is_none_or(|url| url.starts_with("http")), "{summary:?}");
                    if value.is_object() || value.as_str() == Some("") {
                        let faults = shape_faults(&summary);
                        assert!(faults.is_empty(), "{context} {value}: {faults:?} {summary:?}");
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
    insta::assert_snapshot!(all_shown("github"), @r"
    push
      alice pushed 3 commits to acme/shop main
        7d1b31e Fix login redirect
        c0ffee2 Charge the card only once
        a3f1d0b Add a test for the retry button (bob)
        https://github.com/acme/shop/compare/1f0e9d8c7b6a...a3f1d0b8d0d6 | acme/shop@main
    pull_request.opened
      octocat opened pull request acme/shop#42: Fix login redirect
        fix-login → main · +48 −12 in 4 files
        After signing in you land on the page that you came from.
        https://github.com/acme/shop/pull/42 | acme/shop#42
    pull_request.closed [good]
      alice merged pull request acme/shop#42 into main: Fix login redirect
        fix-login → main · +48 −12 in 4 files
        Opened by octocat
        Labels: bug
        https://github.com/acme/shop/pull/42 | acme/shop#42
    pull_request.review_requested
      octocat asked bob for review on pull request acme/shop#42: Fix login redirect
        fix-login → main · +48 −12 in 4 files
        After signing in you land on the page that you came from.
        https://github.com/acme/shop/pull/42 | acme/shop#42
    pull_request_review.submitted [good]
      alice approved pull request acme/shop#42: Fix login redirect
        Good catch. One question about the old cookie.
        fix-login → main · +48 −12 in 4 files
        https://github.com/acme/shop/pull/42#pullrequestreview-66001 | acme/shop#42
    pull_request_review_comment.created
      alice commented on the code of pull request acme/shop#42: Fix login redirect
        Could this be a constant?
        src/login.rs:27
        https://github.com/acme/shop/pull/42#discussion_r66101 | acme/shop#42
    issues.opened
      bob opened issue acme/shop#57: Cart loses its items after a failed payment
        Steps: fill the cart, pay with a card that is declined, press Back. The cart is empty.
        Labels: bug · Milestone v2.4
        https://github.com/acme/shop/issues/57 | acme/shop#57
    issues.labeled
      alice added label 'checkout' to issue acme/shop#57: Cart loses its items after a failed payment
        Other labels: bug
        https://github.com/acme/shop/issues/57 | acme/shop#57
    issues.closed [good]
      alice closed issue acme/shop#57 as completed: Cart loses its items after a failed payment
        Labels: bug · Milestone v2.4
        https://github.com/acme/shop/issues/57 | acme/shop#57
    issue_comment.created
      alice commented on issue acme/shop#57: Cart loses its items after a failed payment
        I can reproduce it. The session is cleared too early.
        https://github.com/acme/shop/issues/57#issuecomment-99001 | acme/shop#57
    release.published [good]
      alice published release v2.4.0 (Spring release) of acme/shop
        Faster checkout, fewer clicks.
        https://github.com/acme/shop/releases/tag/v2.4.0 | acme/shop release v2.4.0
    workflow_run.completed [warning]
      CI failed on acme/shop main (run #318, push by alice)
        c0ffee2 Charge the card only once
        https://github.com/acme/shop/actions/runs/7300123 | acme/shop@main CI
    workflow_job.completed [warning]
      CI / build failed on acme/shop main (by alice)
        Failed at: Run tests
        Commit c0ffee2
        Runner GitHub Actions 7
        https://github.com/acme/shop/actions/runs/7300123/job/7400 | acme/shop@main CI
    check_run.completed [warning]
      Check build failed on acme/shop fix-login (GitHub Actions, by alice)
        2 tests failed
        login::returns_to_origin, cart::survives_decline
        For pull request #42
        https://github.com/acme/shop/runs/7500 | acme/shop@fix-login build
    deployment_status.created [good]
      Deployment of acme/shop main to production succeeded (by alice)
        Deployed in 2 minutes
        Commit c0ffee2
        Live at https://shop.example.com
        https://github.com/acme/shop/actions/runs/7300200 | acme/shop deployment to production
    star.created [good]
      octocat starred acme/shop
        Now 128 stars
        https://github.com/acme/shop | acme/shop
    fork [good]
      octocat forked acme/shop to octocat/shop
        Now 9 forks
        https://github.com/octocat/shop | acme/shop
    create
      alice created branch fix-login in acme/shop
        https://github.com/acme/shop/tree/fix-login | acme/shop@fix-login
    delete
      alice deleted branch fix-login from acme/shop
        https://github.com/acme/shop | acme/shop@fix-login
    ping [good]
      acme/shop is connected: webhook added by alice
        Sends push, pull request, issues
        Keep it logically awesome.
        https://github.com/acme/shop/settings/hooks/449001 | acme/shop webhook
    dependabot_alert.created [critical]
      Dependabot found a critical alert in acme/shop: lodash (CVE-2021-23337)
        Command Injection in lodash
        Affected: < 4.17.21, fixed in 4.17.21
        In web/package-lock.json
        https://github.com/acme/shop/security/dependabot/12 | acme/shop dependabot #12
    secret_scanning_alert.created [critical]
      GitHub found a secret in acme/shop: Stripe API Key
        The secret is active
        https://github.com/acme/shop/security/secret-scanning/4 | acme/shop secret scanning #4
    ");
}

#[test]
fn the_words_of_the_stripe_events() {
    insta::assert_snapshot!(all_shown("stripe"), @r"
    checkout.session.completed [good]
      Checkout of $29.99 completed by jane@example.com
        Reference 1042
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | cs_live_a1AcmeShop
    payment_intent.succeeded [good]
      Payment of $29.99 received from jane@example.com
        Order 1042
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | pi_3SkAcme0001
    payment_intent.payment_failed [warning]
      Payment of $29.99 from jane@example.com failed: insufficient funds
        Your card has insufficient funds.
        Visa card ending in 9995
        Order 1042
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | pi_3SkAcme0001
    charge.succeeded [good]
      Charge of $29.99 from jane@example.com succeeded
        Order 1042
        Visa card ending in 4242
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | pi_3SkAcme0001
    charge.refunded
      $10.00 of $29.99 was refunded to jane@example.com
        Order 1042
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | pi_3SkAcme0001
    charge.dispute.created [critical]
      Dispute opened over $29.99 from jane@example.com: fraudulent
        Visa card
        Answer by 9 Mar 2026
        Status: needs response
        https://dashboard.stripe.com/payments/pi_3SkAcme0001 | pi_3SkAcme0001
    invoice.finalized
      Invoice SHOP-0042 of $29.99 finalized for jane@example.com
        1 × Pro (at $29.99 / month)
        Due 16 Mar 2026
        https://dashboard.stripe.com/invoices/in_1SkAcme0001 | in_1SkAcme0001
    invoice.paid [good]
      Invoice SHOP-0042 of $29.99 paid by jane@example.com
        1 × Pro (at $29.99 / month)
        Renewal of a subscription
        https://dashboard.stripe.com/invoices/in_1SkAcme0001 | in_1SkAcme0001
    invoice.payment_failed [warning]
      Payment of $29.99 from jane@example.com for invoice SHOP-0042 failed
        Attempt 2, next one on 5 Mar 2026
        1 × Pro (at $29.99 / month)
        https://dashboard.stripe.com/invoices/in_1SkAcme0001 | in_1SkAcme0001
    customer.created [good]
      New customer Jane Doe (jane@example.com)
        https://dashboard.stripe.com/customers/cus_TAcme0001 | cus_TAcme0001
    customer.updated
      Customer Jane Doe (jane.doe@example.com) changed: email (jane@example.com → jane.doe@example.com)
        Email was jane@example.com
        https://dashboard.stripe.com/customers/cus_TAcme0001 | cus_TAcme0001
    customer.subscription.created [good]
      New subscription: Pro, $29.99 a month
        Renews on 1 Apr 2026
        Customer cus_TAcme0001
        https://dashboard.stripe.com/subscriptions/sub_1SkAcme0001 | sub_1SkAcme0001
    customer.subscription.updated
      Subscription changed to another plan: Pro, $29.99 a month
        Was Basic, $9.99
        Customer cus_TAcme0001
        https://dashboard.stripe.com/subscriptions/sub_1SkAcme0001 | sub_1SkAcme0001
    customer.subscription.deleted [warning]
      Subscription ended: Pro, $29.99 a month
        Reason: cancellation requested
        We closed our shop.
        Customer cus_TAcme0001
        https://dashboard.stripe.com/subscriptions/sub_1SkAcme0001 | sub_1SkAcme0001
    payout.paid [good]
      Payout of €12,345.67 was paid to your bank
        Arrival 4 Mar 2026
        https://dashboard.stripe.com/payouts/po_1SkAcme0001 | po_1SkAcme0001
    payout.failed [critical]
      Payout of €12,345.67 failed: account closed
        The bank account has been closed.
        https://dashboard.stripe.com/payouts/po_1SkAcme0001 | po_1SkAcme0001
    ");
}

#[test]
fn a_github_change_says_from_what_to_what() {
    let registry = registry();
    let github = provider(&registry, "github");
    let repository =
        json!({"full_name": "acme/shop", "name": "shop", "default_branch": "trunk", "owner": {"login": "acme"}});
    let lines = |event: &str, mut payload: Value| {
        payload["repository"] = repository.clone();
        payload["sender"] = json!({"login": "alice"});
        github.summarize(event, &payload, &[]).message.lines
    };
    let branch = json!({"action": "edited", "changes": {"default_branch": {"from": "main"}}});
    assert_eq!(lines("repository.edited", branch), ["Changed: default branch (main → trunk)"]);
    let release = json!({"action": "edited", "release": {"tag_name": "v1", "name": "One"}, "changes": {"name": {"from": "FOO"}, "body": {"from": ""}}});
    assert_eq!(lines("release.edited", release), ["Changed: name (FOO → One), body"]);
    let rule = json!({"action": "edited", "rule": {"name": "trunk", "required_approving_review_count": 1}, "changes": {"required_approving_review_count": {"from": 2}}});
    assert_eq!(lines("branch_protection_rule.edited", rule), ["Changed: required approving review count (2 → 1)"]);
    let check = json!({"action": "rerequested", "check_run": {"name": "lint", "conclusion": "failure", "output": {"title": "Report"}}});
    assert_eq!(lines("check_run.rerequested", check), ["Last time it failed: Report"]);
}
