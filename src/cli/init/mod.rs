//! `agent init`: a few questions, then `config.yaml` and `.env`, and what to paste into the senders' forms. And `agent webhook
//! add`, which does the same for one more handler without touching a person's YAML.
//!
//! Nothing is written before the last answer, so that leaving in between leaves nothing behind.

mod add;
mod console;
mod files;
mod form;
mod telegram;
mod yaml;

use std::io::{BufReader, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use self::console::Console;
use self::files::{DotEnv, write_whole};
use self::form::Form;
use self::yaml::{Answers, NewHandler};
use super::{Common, context, out, run as running, small_runtime};
use crate::app;
use crate::config::secret_variable;
use crate::ports::{Ids, RandomIds};
use crate::provider::{Provider, Registry};

pub(super) use add::{AddArgs, add};

/// Telegram's own server.
const TELEGRAM_API: &str = "https://api.telegram.org";
/// The variable of the bot's token.
const TOKEN_VARIABLE: &str = "TELEGRAM_BOT_TOKEN";
/// The senders that are set up when nobody says otherwise.
const SENDERS_DEFAULT: &str = "github, stripe";
/// Wrong answers to one question before this is given up.
const TRIES_MAX: usize = 5;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Take the defaults without asking; no Telegram
    #[arg(long, short)]
    yes: bool,
    /// Replace config.yaml (the old one is kept as config.yaml.old; secrets in .env stay)
    #[arg(long)]
    force: bool,
    /// Folder for the ledger, logs and your providers
    #[arg(long, value_name = "PATH")]
    data_dir: Option<String>,
    /// Senders to set up, with commas between
    #[arg(long, value_name = "LIST")]
    senders: Option<String>,
    /// What senders reach, such as https://hooks.example.com
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A Bot API server of your own
    #[arg(long, value_name = "URL", default_value = TELEGRAM_API)]
    telegram_api_url: String,
}

pub(super) fn init(common: &Common, args: InitArgs) -> anyhow::Result<ExitCode> {
    let place = Place::of(common)?;
    if place.config.exists() && !args.force {
        bail!("{} is there already; --force writes a new one and keeps the old as {}", place.config.display(), OLD);
    }
    small_runtime()?.block_on(async {
        tokio::select! {
            done = run(&args, &place) => done,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for Ctrl-C")?;
                out::error("\nstopped; nothing was written");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

/// What the old file is called.
const OLD: &str = "config.yaml.old";

/// Where the files go.
struct Place {
    config: PathBuf,
    folder: PathBuf,
}

impl Place {
    fn of(common: &Common) -> anyhow::Result<Self> {
        let cwd = std::env::current_dir().context("cannot tell the current folder")?;
        let config = cwd.join(common.config.as_deref().unwrap_or(Path::new("config.yaml")));
        let folder = config.parent().map_or(cwd, Path::to_path_buf);
        if !folder.is_dir() {
            bail!("there is no folder {}", folder.display());
        }
        Ok(Self { config, folder })
    }
}

async fn run(args: &InitArgs, place: &Place) -> anyhow::Result<ExitCode> {
    let mut dotenv = DotEnv::read(place.folder.join(".env"))?;
    let mut asking = if args.yes {
        None
    } else {
        let input = BufReader::new(std::io::stdin());
        let terminal = std::io::stdin().is_terminal();
        Some(Console::new(input, Box::new(std::io::stdout()), terminal))
    };
    let data_dir =
        answer(asking.as_mut(), args.data_dir.as_deref(), "Folder for data", "./data", |text| Ok(text.to_owned()));
    let data_dir = data_dir.await?;
    let (registry, _faults) =
        Registry::load(&place.folder.join(&data_dir).join("providers"), &place.folder.join("integrations"));
    let question = format!("Senders, with commas between ({})", registry.names().join(", "));
    let chosen =
        answer(asking.as_mut(), args.senders.as_deref(), &question, SENDERS_DEFAULT, |text| senders(text, &registry));
    let handlers = chosen.await?;
    let question = "Address that senders reach, such as https://hooks.example.com (empty if you do not know yet)";
    let public_url = answer(asking.as_mut(), args.public_url.as_deref(), question, "", public_url).await?;
    let found = match asking.as_mut() {
        Some(console) => telegram::set_up(console, &args.telegram_api_url).await?,
        None => None,
    };
    let telegram = found.map(|found| {
        dotenv.set(TOKEN_VARIABLE, found.token.expose());
        let api_url = (args.telegram_api_url != TELEGRAM_API).then(|| args.telegram_api_url.clone());
        yaml::Telegram { person: found.person, api_url }
    });
    let answers = Answers { data_dir, public_url, handlers, telegram };
    for handler in &answers.handlers {
        if let Some(provider) = registry.get(handler.provider.as_deref().unwrap_or(handler.name.as_str())) {
            add_secret(&mut dotenv, handler, provider);
        }
    }
    write(place, &answers, &dotenv)?;
    tell(place, &answers, &dotenv)
}

/// A flag's value, else the answer, else the default; asked again while it is wrong.
async fn answer<T>(
    mut asking: Option<&mut Console>,
    flag: Option<&str>,
    question: &str,
    default: &str,
    read: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Some(console) = asking.as_mut().filter(|_| flag.is_none()) else {
        return read(flag.unwrap_or(default));
    };
    for _ in 1..TRIES_MAX {
        match read(&console.ask(question, default).await?) {
            Ok(value) => return Ok(value),
            Err(error) => console.say(&format!("{error:#}"))?,
        }
    }
    read(&console.ask(question, default).await?)
}

fn senders(text: &str, registry: &Registry) -> anyhow::Result<Vec<NewHandler>> {
    let mut handlers: Vec<NewHandler> = Vec::new();
    for name in text.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty()) {
        let Some(provider) = registry.get(&name.to_lowercase()) else {
            bail!("there is no provider '{name}'; the providers are: {}", registry.names().join(", "));
        };
        if handlers.iter().all(|handler| handler.name.as_str() != provider.name()) {
            handlers.push(NewHandler {
                name: provider.name().parse()?,
                provider: None,
                issued: provider.issues_secret(),
            });
        }
    }
    if handlers.is_empty() {
        bail!("name at least one sender; 'custom' takes any JSON");
    }
    Ok(handlers)
}

fn public_url(text: &str) -> anyhow::Result<Option<String>> {
    let text = text.trim().trim_end_matches('/');
    if text.is_empty() {
        return Ok(None);
    }
    let uri: http::Uri = text.parse().with_context(|| format!("'{text}' is no URL"))?;
    if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none() || uri.query().is_some() {
        bail!("'{text}' is no address such as https://hooks.example.com");
    }
    Ok(Some(text.to_owned()))
}

/// Puts a new secret, or an empty place for the sender's, into `.env`. What is there stays.
fn add_secret(dotenv: &mut DotEnv, handler: &NewHandler, provider: &Provider) {
    let variable = secret_variable(&handler.name);
    if handler.issued {
        dotenv.add(&variable, "");
        return;
    }
    let ids = RandomIds::default();
    let random = hex::decode(ids.token() + &ids.token()).expect("tokens are hexadecimal");
    dotenv.add(&variable, &provider.fresh_secret(&random));
}

fn write(place: &Place, answers: &Answers, dotenv: &DotEnv) -> anyhow::Result<()> {
    if place.config.exists() {
        let old = place.config.with_file_name(OLD);
        std::fs::rename(&place.config, &old).with_context(|| format!("cannot move {}", place.config.display()))?;
    }
    // The secrets first: a configuration without them would not start.
    dotenv.write()?;
    write_whole(&place.config, &answers.yaml(), 0o644)
}

/// The workflow that a new data folder begins with.
const FIRST_WORKFLOW: &str = r#"# Your first workflow. Start it with   agent workflow run hello --input name=Ann   or, in the chat,   /workflow run hello name=Ann
# docs/WORKFLOWS.md says what else a workflow can do; examples/ has some that do more.
name: hello
description: Say hello, once somebody agrees
trigger: manual
enabled: true
steps:
  - name: greet
    tool: notify
    args: { text: "Hello, {{ payload.name | default('world') }}!" }
    requires_approval: true
"#;

/// Writes the first workflow into a folder that has none yet; gives its path.
fn first_workflow(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(None);
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join("hello.yaml");
    write_whole(&path, FIRST_WORKFLOW, 0o644)?;
    Ok(Some(path))
}

/// Reads what was written as the agent will, and says what to do next.
fn tell(place: &Place, answers: &Answers, dotenv: &DotEnv) -> anyhow::Result<ExitCode> {
    let common = Common { config: Some(place.config.clone()) };
    let context = context::load(&common).context("what was written has a fault")?;
    let (registry, _faults) = app::load_providers(&context.config);
    out::line(format!("\nWrote {} and {} (0600).", place.config.display(), dotenv.path().display()))?;
    if let Some(path) = first_workflow(&app::workflows_dir(&context.config.data_dir))? {
        out::line(format!("A first workflow is in {}.", path.display()))?;
    }
    out::line("\nNow tell the senders. Paste these into their forms:")?;
    for handler in context.config.webhooks.handlers.values() {
        let Some(provider) = app::provider_of(handler, &registry) else { continue };
        let form = Form {
            name: &handler.name,
            provider: &provider,
            path: &app::handler_path(handler),
            public_url: context.config.webhooks.public_url.as_deref(),
            dotenv: dotenv.path(),
            has_secret: !handler.secrets.is_empty(),
        };
        out::line("")?;
        for line in form.lines() {
            out::line(line)?;
        }
    }
    if answers.public_url.is_none() {
        out::line(
            "\nYOUR-HOST is where senders reach this machine; write it to webhooks.public_url when you know it.",
        )?;
    }
    let config = if place.config == std::env::current_dir()?.join("config.yaml") {
        String::new()
    } else {
        format!(" --config {}", place.config.display())
    };
    let agent = running::invocation();
    out::line(format!(
        "\nThen:  {agent}{config}   runs it, and   {agent}{config} doctor   looks whether all is well."
    ))?;
    Ok(ExitCode::SUCCESS)
}
