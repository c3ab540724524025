//! `agent webhook`: what is served, and signed requests to try it with.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures::StreamExt;
use serde_json::{Value, json};

use super::context::{self, Context};
use super::{Common, explain, init, local, out, sample, small_runtime};
use crate::app::{self, Probe, ProbeError, Sender};
use crate::config::{Handler, Secret};
use crate::outbound::Answer;
use crate::ports::{RandomIds, SystemClock};
use crate::provider::Provider;

/// Most requests of one `send --count`.
const COUNT_MAX: u32 = 100_000;
/// Requests of one `send --count` that are under way at once.
const SENDS_AT_ONCE: usize = 16;

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List the handlers and where they are served
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration of one more handler and what to paste into the sender's form
    Add(init::AddArgs),
    /// Send a signed request to a handler, or a workflow's own route, of the running agent
    Test {
        /// The handler's name, or the workflow's
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why a request was refused, and what to do about it
    Explain {
        /// The event's id (evt_…), or the request id (req_…) that the sender was answered
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign and send a realistic sample of a provider's event
    Send(SendArgs),
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The provider, or a handler's name
    provider: String,
    /// The event type, such as pull_request.opened
    event: String,
    /// Change the sample: payload.ref=refs/heads/x (may be repeated)
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Where to send it [default: the running agent]
    #[arg(long)]
    url: Option<String>,
    /// Private key to sign with, for senders that have one: a file with its 64 hexadecimal digits
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// How many to send, each with a delivery id of its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn webhook(common: &Common, command: WebhookCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    match command {
        WebhookCommand::List { json } => list(&context, json),
        WebhookCommand::Add(args) => init::add(&context, &args),
        WebhookCommand::Test { name, json } => small_runtime()?.block_on(test(&context, &name, json)),
        WebhookCommand::Explain { id, json } => small_runtime()?.block_on(explain::explain(&context, &id, json)),
        WebhookCommand::Send(args) => small_runtime()?.block_on(send(&context, &args)),
    }
}

fn list(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let handlers: Vec<&Handler> = context.config.webhooks.handlers.values().collect();
    let catalog = app::load_workflows(&context.config);
    if json {
        let (registry, _faults) = app::load_providers(&context.config);
        let signed = context.config.webhooks.common_secret.is_some();
        let routes = app::workflow_routes(&context.config, &catalog).into_iter().map(|(path, workflow)| {
            json!({
                "name": workflow.name, "path": path, "enabled": workflow.enabled, "provider": null, "signed": signed,
                "events": [], "workflow": true,
            })
        });
        let items: Vec<Value> = handlers
            .iter()
            .map(|handler| {
                json!({
                    "name": handler.name,
                    "path": app::handler_path(handler),
                    "enabled": handler.enabled,
                    "provider": app::provider_name(handler, &registry),
                    "signed": !app::secrets_of(handler, &context.config).is_empty(),
                    "events": handler.events,
                    "workflow": false,
                })
            })
            .chain(routes)
            .collect();
        out::json(&json!({ "items": items, "next": null }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in app::webhook_lines(&context.config, &catalog) {
        out::line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What samples of `handler`, or of `provider` where nothing is configured, are sent with.
fn sender(
    context: &Context,
    handler: Option<&Handler>,
    provider: Arc<Provider>,
    url: Option<&str>,
) -> anyhow::Result<Sender> {
    let path = handler.map_or_else(|| format!("/webhooks/{}", provider.name()), app::handler_path);
    let (url, base) = match url {
        // Any place may be meant, also while no agent of ours runs.
        Some(url) => (url.to_owned(), local::webhook_base(context).ok()),
        None => {
            let base = local::webhook_base(context)?;
            (format!("{base}{path}"), Some(base))
        }
    };
    let signed_url = base.map_or_else(|| url.clone(), |base| app::signed_url(&context.config, &base, &url));
    let secret = handler.and_then(|handler| app::secrets_of(handler, &context.config).into_iter().next());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds::default()));
    Ok(Sender { client: local::client_for(&url)?, url, signed_url, provider, secret, clock, ids })
}

async fn test(context: &Context, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let (registry, _faults) = app::load_providers(&context.config);
    let catalog = app::load_workflows(&context.config);
    let base = local::webhook_base(context)?;
    let probe = Probe {
        config: &context.config,
        registry: &registry,
        catalog: &catalog,
        base: &base,
        client: local::client_for(&base)?,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::default()),
    };
    let tested = probe.test(name).await;
    if !json && !matches!(tested, Err(ProbeError::Unknown { .. })) {
        out::line(format!("Testing webhook: {name}"))?;
    }
    print_answer(&tested?, json)
}

async fn send(context: &Context, args: &SendArgs) -> anyhow::Result<ExitCode> {
    let (registry, _faults) = app::load_providers(&context.config);
    let handlers = &context.config.webhooks.handlers;
    let handler = handlers
        .values()
        .find(|handler| handler.name.as_str() == args.provider)
        .or_else(|| handlers.values().find(|handler| app::provider_name(handler, &registry) == args.provider));
    let provider = handler
        .and_then(|handler| app::provider_of(handler, &registry))
        .or_else(|| registry.get(&args.provider).map(Arc::clone))
        .with_context(|| {
            format!(
                "there is no provider or handler '{}'; the providers are: {}",
                args.provider,
                registry.names().join(", ")
            )
        })?;
    let mut payload = provider.prepare_example(&args.event).with_context(|| no_example(&provider, &args.event))?;
    for assignment in &args.set {
        sample::set(&mut payload, assignment)?;
    }
    let mut sender = sender(context, handler, provider, args.url.as_deref())?;
    if sender.provider.signs_with_private_key() && sender.secret.is_some() {
        sender.secret = Some(private_key(args, &sender.provider)?);
    }
    if args.count == 1 {
        if !args.json {
            out::line(format!("Sending {} {} to {}", args.provider, args.event, sender.url))?;
        }
        let answer = sender.send(&args.event, payload).await?;
        return print_answer(&answer, args.json);
    }
    send_many(&sender, args, &payload).await
}

/// The handler has the public key only, and that signs nothing.
fn private_key(args: &SendArgs, provider: &Provider) -> anyhow::Result<Secret> {
    let path = args.key_file.as_deref().with_context(|| {
        format!(
            "{0} signs with a private key that only {0} has; to try it, put the public key of a pair of your own into the handler's secret and give its private key with --key-file",
            provider.title()
        )
    })?;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Secret::new(text.trim()).with_context(|| format!("{} is empty", path.display()))
}

async fn send_many(sender: &Sender, args: &SendArgs, payload: &Value) -> anyhow::Result<ExitCode> {
    let answers: Vec<anyhow::Result<Answer>> = futures::stream::iter(0..args.count)
        .map(|_| async { Ok(sender.send(&args.event, payload.clone()).await?) })
        .buffer_unordered(SENDS_AT_ONCE)
        .collect()
        .await;
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    let mut failed = false;
    for answer in answers {
        let key = match answer {
            Ok(answer) => {
                failed |= !answer.status.is_success();
                let body: Option<Value> = serde_json::from_str(&answer.body).ok();
                let word = body.as_ref().and_then(|body| {
                    body.get("status").or_else(|| body.pointer("/error/code")).and_then(Value::as_str)
                });
                format!("{} {}", answer.status, word.unwrap_or_default())
            }
            Err(error) => {
                failed = true;
                format!("no answer: {error:#}")
            }
        };
        *counts.entry(key).or_default() += 1;
    }
    if args.json {
        out::json(&json!({ "url": sender.url, "sent": args.count, "answers": counts }))?;
        return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    out::line(format!("Sent {} × {} {} to {}", args.count, args.provider, args.event, sender.url))?;
    for (what, count) in counts {
        out::line(format!("  {count} × {}", what.trim_end()))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn no_example(provider: &Provider, event: &str) -> String {
    let known: Vec<&str> =
        provider.events().iter().filter(|event| event.example.is_some()).map(|event| event.name.as_str()).collect();
    format!("the provider '{}' has no sample of '{event}'; it has: {}", provider.name(), known.join(", "))
}

fn print_answer(answer: &Answer, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        // A handshake or a text handler answers what is no JSON.
        let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| Value::String(answer.body.clone()));
        out::json(&json!({ "status": answer.status.as_u16(), "body": body }))?;
    } else {
        let reason = answer.status.canonical_reason().unwrap_or_default();
        out::line(format!("Response: {} {reason}", answer.status.as_u16()))?;
        out::line(out::harmless(&answer.body))?;
    }
    Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
