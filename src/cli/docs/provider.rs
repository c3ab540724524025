//! The page of one provider.

use super::cell;
use crate::config::secret_variable;
use crate::domain::event::HandlerName;
use crate::provider::{Provider, Registry};

/// The first line of every page.
const MADE: &str = "<!-- Made from the manifest by 'agent docs providers'; changes belong there. -->";

/// The list of the pages.
pub(super) fn index(registry: &Registry) -> String {
    let mut text = format!(
        "{MADE}\n\n# Providers\n\nEvery sender that is known without a file of yours. [How to write one](../PROVIDERS.md).\n\n\
         | provider | sender | known events |\n|---|---|---|\n"
    );
    for provider in registry.iter() {
        let (name, events) = (provider.name(), provider.events().len());
        text.push_str(&format!("| [`{name}`]({name}.md) | {} | {events} |\n", cell(provider.title())));
    }
    text
}

/// The page.
pub(super) fn page(provider: &Provider) -> String {
    let (name, title) = (provider.name(), provider.title());
    let mut text = format!("{MADE}\n\n# {title}\n\n");
    text.push_str(&format!("Provider `{name}`."));
    if let Some(docs) = provider.docs() {
        text.push_str(&format!(" What {title} itself says: <{docs}>."));
    }
    text.push_str(&set_up(provider));
    text.push_str(&verification(provider));
    text.push_str(&answers(provider));
    text.push_str(&events(provider));
    text
}

fn set_up(provider: &Provider) -> String {
    let (name, title) = (provider.name(), provider.title());
    let variable = name.parse::<HandlerName>().map(|name| secret_variable(&name)).unwrap_or_default();
    let mut text = format!("\n\n## Set it up\n\n`agent webhook add {name}` prints all of this with your address.\n\n");
    for (at, step) in provider.setup().iter().enumerate() {
        text.push_str(&format!("{}. {step}\n", at + 1));
    }
    if !provider.setup().is_empty() {
        text.push('\n');
    }
    text.push_str("| in its form | paste |\n|---|---|\n");
    text.push_str(&format!("| URL | `https://YOUR-HOST/webhooks/{name}` |\n"));
    if !provider.sends_forms() {
        text.push_str("| content type | `application/json` |\n");
    }
    text.push_str(&if provider.issues_secret() {
        format!("| secret | {title} shows it: copy it into `.env` as `{variable}` |\n")
    } else {
        format!("| secret | a long random text, the same as `{variable}` in `.env` |\n")
    });
    let default = if provider.issues_secret() { ":-" } else { "" };
    text.push_str(&format!(
        "\n```yaml\nwebhooks:\n  handlers:\n    {name}: {{ secret: \"${{{variable}{default}}}\" }}\n```\n\n"
    ));
    if let Some(first) = provider.events().iter().find(|event| event.example.is_some()) {
        text.push_str(&format!("Try it with a signed sample: `agent webhook send {name} {}`.\n", first.name));
    }
    text
}

fn verification(provider: &Provider) -> String {
    let mut text = String::from("\n## How a request is verified\n\n");
    let words = provider.verification_in_words();
    if words.is_empty() {
        text.push_str("This sender does not sign.\n");
    }
    for sentence in words {
        text.push_str(&format!("- {sentence}\n"));
    }
    let places = [("Event type", provider.event_in_words()), ("Delivery id", provider.delivery_in_words())];
    for (what, place) in places {
        let place = if place.is_empty() { "none is sent".to_owned() } else { place };
        text.push_str(&format!("- {what}: {place}.\n"));
    }
    text
}

fn answers(provider: &Provider) -> String {
    let mut text = String::from("\n## What it is answered\n\n| | |\n|---|---|\n");
    let mut row = |what: &str, value: &str| text.push_str(&format!("| {what} | {} |\n", cell(value)));
    row("accepted, after the commit to disk", &provider.success_status().to_string());
    row("overload, or the disk cannot commit", &format!("{} with `Retry-After`", provider.overload_status()));
    row("over the rate limit", &format!("{} with `Retry-After`", provider.rate_limit_status()));
    row("it waits", provider.sender_timeout().unwrap_or("unknown"));
    row("it tries again", provider.sender_retries().unwrap_or("unknown"));
    text
}

fn events(provider: &Provider) -> String {
    let mut text = String::from("\n## Events\n\n");
    if provider.events().is_empty() {
        text.push_str("Any: the event type is what the request says.\n");
        return text;
    }
    text.push_str(
        "Others are taken too, and told in fewer words. Those with a sample can be sent with `agent webhook send`.\n\n",
    );
    text.push_str("| event | tells | sample |\n|---|---|---|\n");
    for event in provider.events() {
        let sample = if event.example.is_some() { "yes" } else { "" };
        text.push_str(&format!("| `{}` | {} | {sample} |\n", event.name, cell(&event.description)));
    }
    text
}
