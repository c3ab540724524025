//! One handler: what to paste at the sender, what came lately, and a test that sends a signed sample.

use http::{HeaderMap, Method};
use maud::{Markup, html};
use serde_json::json;

use super::layout::Place;
use super::parts::{self, Tone};
use super::{Answer, HandlerFacts, Page, View, events, handlers};
use crate::dashboard::problem::Problem;
use crate::domain::event::EventStatus;
use crate::domain::text::{clip_chars, spelled_line};
use crate::ledger::{EventFilter, EventRow};
use crate::outbound::OperatorClient;
use crate::provider::{self, Provider, SignRequest};

/// Events that the success rate looks at.
const RATE_EVENTS: usize = 200;
/// Events that are listed.
const LISTED: usize = 10;
/// Longest answer that a test shows, in characters.
const ANSWER_CHARS_MAX: usize = 600;

/// What a test came to.
pub(super) struct Tested {
    good: bool,
    what: String,
    answer: String,
}

pub(super) async fn show(view: View<'_>, name: &str, tested: Option<Tested>) -> Result<Page, Problem> {
    let handler = view.site().handler(name).ok_or_else(|| Problem::not_found("There is no such handler."))?;
    let filter = EventFilter { handler: Some(handler.name.clone()), limit: RATE_EVENTS, ..EventFilter::default() };
    let rows = view.api.ledger.events(filter).await?.items;
    let provider = view.api.triggers.providers.get(&handler.provider);
    let body = html! {
        div.head {
            div {
                p.crumb { a href="/handlers" { "Handlers" } }
                h1 { (handler.name) }
                p.sub {
                    (handlers::state(handler))
                    span { "read as " (handler.provider) }
                    @if let Some(docs) = provider.as_ref().and_then(|provider| provider.docs()) { (parts::outside_link(docs, "the sender's documentation ↗")) }
                }
            }
            div.acts { (parts::change(&format!("/handlers/{}/test", handler.name), view.csrf, &html! { button { "Send a test" } })) }
        }
        @if let Some(tested) = &tested {
            div class={ "note " (if tested.good { "good" } else { "bad" }) } role="status" {
                p { strong { (parts::told(&tested.what)) } }
                @if !tested.answer.is_empty() { p.mono.gap { (clip_chars(&spelled_line(&tested.answer), ANSWER_CHARS_MAX)) } }
            }
        }
        div.split {
            div {
                (set_up(view, handler, provider.map(|provider| &**provider)))
                section aria-labelledby="h-last" {
                    div.title { h2 id="h-last" { "Last deliveries" } a href={ "/events?handler=" (handler.name) } { "all" } }
                    div id="last" data-live {
                        @if rows.is_empty() { (parts::empty("Nothing has come yet", &html! { "Paste the URL at the sender, or send a test." })) }
                        @else { (events::table(view, &rows[..rows.len().min(LISTED)])) }
                    }
                }
            }
            aside aria-label="About this handler" { (facts(view, handler, &rows, provider.map(|provider| &**provider))) }
        }
    };
    Ok(Page::new(Place::Handlers, handler.name.clone(), body))
}

fn set_up(view: View<'_>, handler: &HandlerFacts, provider: Option<&Provider>) -> Markup {
    let url = view.site().url(&handler.path);
    let issues = provider.is_some_and(Provider::issues_secret);
    html! {
        section aria-labelledby="h-setup" {
            div.title { h2 id="h-setup" { "Connect the sender" } }
            table.keys {
                thead.sr { tr { th { "Field" } th { "Value" } } }
                tbody {
                    tr { td { "URL" } td { span.mono { (url) } " " (parts::copy(&url)) } }
                    @if provider.is_some_and(|provider| !provider.sends_forms()) { tr { td { "Content type" } td.mono { "application/json" } } }
                    tr {
                        td { "Secret" }
                        td {
                            @if issues { "The sender shows it: copy it into " } @else { "The same long random text as in " }
                            span.mono { (handler.secret_variable) }
                            @if handler.secret.is_some() { ", which is set." } @else { ", which is not set." }
                        }
                    }
                }
            }
            @if let Some(provider) = provider.filter(|provider| !provider.setup().is_empty()) {
                ol.setup.gap { @for step in provider.setup() { li { (parts::prose(step)) } } }
            }
            @if view.site().public.is_none() {
                p.note.warn.gap { "The URL is this machine's own. Set " code { "webhooks.public_url" } " to what senders on the internet reach." }
            }
        }
    }
}

fn facts(view: View<'_>, handler: &HandlerFacts, rows: &[EventRow], provider: Option<&Provider>) -> Markup {
    let count = |status: EventStatus| rows.iter().filter(|row| row.status == status).count();
    let apart = [("Refused", EventStatus::Rejected), ("Failed", EventStatus::Failed)]
        .map(|(what, status)| (what, status, count(status)));
    let good = rows.len() - apart.iter().map(|(_, _, count)| count).sum::<usize>();
    html! {
        section aria-labelledby="h-facts" {
            h2.sr id="h-facts" { "Facts" }
            dl.facts {
                dt { "Last delivery" }
                dd { @if let Some(row) = rows.first() { (parts::ago(row.received_at, view.now)) } @else { span.soft { "never" } } }
                @if !rows.is_empty() {
                    dt { "Taken" }
                    dd { (good * 100 / rows.len()) " %" small { " of the last " (rows.len()) } }
                    @for (what, status, count) in apart.into_iter().filter(|(_, _, count)| *count > 0) {
                        dt { (what) }
                        dd { a href={ "/events?handler=" (handler.name) "&status=" (status) } { (parts::state(Tone::Bad, &count.to_string())) } }
                    }
                }
                dt { "Wants" }
                dd { @if handler.events.is_empty() { "every event" } @else { (handler.events.join(", ")) } }
                dt { "Notices" }
                dd { (handler.chat.as_deref().unwrap_or("nobody")) }
                @if let Some(provider) = provider {
                    @if let Some(wait) = provider.sender_timeout() { dt { "Sender waits" } dd { (spaced(wait)) } }
                    @if let Some(retries) = provider.sender_retries() { dt { "Sender retries" } dd { (spaced(retries)) } }
                }
            }
            @if let Some(provider) = provider {
                @let words = provider.verification_in_words();
                @if !words.is_empty() {
                    details.out.gap { summary { span { "How requests are verified" } } div { @for sentence in words { p.gap { small { (parts::prose(&sentence)) } } } } }
                }
            }
        }
    }
}

/// What a manifest says of its sender, with the durations in it written as everywhere: `10 s`.
fn spaced(text: &str) -> String {
    let word = |word: &str| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &word[..word.len() - unit.len()];
        let is_duration =
            matches!(unit.trim_end_matches([',', ';', ')']), "s" | "h" | "d" | "ms") && !number.is_empty();
        if is_duration { format!("{number} {unit}") } else { word.to_owned() }
    };
    parts::told(text).split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Signs a sample of an event that the handler wants and sends it to the agent's own webhook server.
pub(super) async fn act(view: View<'_>, name: &str) -> Result<Answer, Problem> {
    let handler = view.site().handler(name).ok_or_else(|| Problem::not_found("There is no such handler."))?;
    let tested = match send(view, handler).await {
        Ok(tested) => tested,
        Err(why) => Tested { good: false, what: why, answer: String::new() },
    };
    Ok(Answer::Page(show(view, name, Some(tested)).await?))
}

async fn send(view: View<'_>, handler: &HandlerFacts) -> Result<Tested, String> {
    let base = view.site().webhooks.as_deref().ok_or("The webhook server is off.")?;
    let provider = view.api.triggers.providers.get(&handler.provider).ok_or("Its provider is not installed.")?;
    if provider.signs_with_private_key() && handler.secret.is_some() {
        return Err(format!("{} signs with a private key that only it has; send a test from there.", provider.title()));
    }
    let wanted = |event: &str| handler.events.is_empty() || provider::wanted(&handler.events, event);
    let mut samples = provider.events().iter().filter(|event| event.example.is_some() && wanted(&event.name));
    let event = &samples.next().ok_or("There is no sample of an event that it wants.")?.name;
    let mut payload = provider.prepare_example(event).unwrap_or_else(|| json!({}));
    let delivery_id = view.api.ids.ulid(view.now).to_string();
    provider.fill(&mut payload, &delivery_id, view.now);
    let (url, body) = (format!("{base}{}", handler.path), provider.encode(&payload));
    // A sender that signs the URL signs the one that it knows, which is the one that the signature is checked for.
    let signed_url = view.site().url(&handler.path);
    let request = SignRequest { url: &signed_url, body: &body, delivery_id: &delivery_id, event, now: view.now };
    let headers: HeaderMap = provider.sign_request(handler.secret.as_ref(), &request).into_iter().collect();
    let client = OperatorClient::new(true).map_err(|error| error.to_string())?;
    let answer = client.send(Method::POST, &url, headers, body).await.map_err(|error| error.to_string())?;
    Ok(Tested {
        good: answer.status.is_success(),
        what: format!("Sent {event}; answered {}", answer.status),
        answer: answer.body,
    })
}
