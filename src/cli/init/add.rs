//! `agent webhook add`: one more handler. A person's YAML is theirs, so the lines for it are printed; the secret goes into
//! `.env`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::files::DotEnv;
use super::form::Form;
use super::yaml::NewHandler;
use crate::app;
use crate::cli::context::Context;
use crate::cli::out;
use crate::config::secret_variable;
use crate::domain::event::HandlerName;

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The sender's provider, such as github
    provider: String,
    /// The handler's name [default: the provider's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(in crate::cli) fn add(context: &Context, args: &AddArgs) -> anyhow::Result<ExitCode> {
    let config = &context.config;
    let (registry, _faults) = app::load_providers(config);
    let provider = registry.get(&args.provider).with_context(|| {
        format!("there is no provider '{}'; the providers are: {}", args.provider, registry.names().join(", "))
    })?;
    let name: HandlerName = args.name.as_deref().unwrap_or(provider.name()).parse()?;
    let other = (name.as_str() != provider.name()).then(|| provider.name().to_owned());
    let handler = NewHandler { name, provider: other, issued: provider.issues_secret() };
    let folder = match config.file.as_deref().and_then(Path::parent) {
        Some(folder) => folder.to_path_buf(),
        None => std::env::current_dir().context("cannot tell the current folder")?,
    };
    let mut dotenv = DotEnv::read(folder.join(".env"))?;
    let (had, mentioned) =
        (dotenv.has(&secret_variable(&handler.name)), dotenv.mentions(&secret_variable(&handler.name)));
    super::add_secret(&mut dotenv, &handler, provider);
    dotenv.write()?;

    let known = config.webhooks.handlers.get(&handler.name).filter(|_| config.file.is_some());
    match (known, &config.file) {
        (Some(_), _) => out::line(format!("The handler {} is configured already.", handler.name))?,
        (None, Some(file)) => out::line(format!("Add this to {}, beneath what is there:", file.display()))?,
        (None, None) => out::line("There is no config.yaml yet ('agent init' makes one); the lines for it:")?,
    }
    if known.is_none() {
        out::line(format!("\nwebhooks:\n  handlers:\n{}", handler.yaml("    ")))?;
    }
    let variable = secret_variable(&handler.name);
    let dotenv_path = dotenv.path().display();
    match (had, handler.issued) {
        (true, _) => out::line(format!("{variable} is in {dotenv_path} already and stays as it is."))?,
        (false, true) if mentioned => out::line(format!("{variable} is in {dotenv_path} and still empty."))?,
        (false, true) => out::line(format!("Added an empty {variable} to {dotenv_path}."))?,
        (false, false) => out::line(format!("Added a new {variable} to {dotenv_path}."))?,
    }
    let path = known.map_or_else(|| format!("/webhooks/{}", handler.name), app::handler_path);
    let form = Form {
        name: &handler.name,
        provider,
        path: &path,
        public_url: config.webhooks.public_url.as_deref(),
        dotenv: dotenv.path(),
        has_secret: had,
    };
    out::line("\nPaste these into its form:\n")?;
    for line in form.lines() {
        out::line(line)?;
    }
    let agent = crate::cli::run::invocation();
    if provider.signs_with_private_key() {
        let title = provider.title();
        out::line(format!(
            "\nRestart the agent, and try it from {title}: it signs with a private key that only it has."
        ))?;
    } else {
        out::line(format!("\nRestart the agent, and try it:  {agent} webhook test {}", handler.name))?;
    }
    Ok(ExitCode::SUCCESS)
}
