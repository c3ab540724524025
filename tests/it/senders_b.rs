//! Senders that most people meet after GitHub and Stripe: their signatures computed apart from the engine, their handshakes,
//! what they do with our answers, how their events read, and why their requests were refused.

use hookhand::provider::Registry;

/// The providers that this file is about.
const SENDERS: [&str; 10] = [
    "alertmanager",
    "basic",
    "bearer",
    "cloudevents",
    "custom",
    "discord",
    "grafana",
    "standard-webhooks",
    "svix",
    "twilio",
];

#[test]
fn every_example_reads_as_a_colleague_would_write_it() {
    let registry = Registry::builtin();
    let mut text = String::new();
    for name in SENDERS {
        let provider = registry.get(name).expect("built in");
        for info in provider.events() {
            let example = info.example.as_ref().expect("an example");
            let headers: Vec<(String, String)> =
                info.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().expect("text").to_owned())).collect();
            let summary = provider.summarize(&info.name, example, &headers);
            let message = &summary.message;
            text.push_str(&format!("{name} {}\n  [{}] {}\n", info.name, message.severity, message.title));
            for line in &message.lines {
                text.push_str(&format!("    {line}\n"));
            }
            text.push_str(&format!(
                "    link {} subject {}\n",
                message.url.as_deref().unwrap_or("-"),
                summary.subject.as_deref().unwrap_or("-")
            ));
        }
    }
    insta::assert_snapshot!("messages", text);
}
