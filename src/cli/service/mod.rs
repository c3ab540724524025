//! `agent service install`: writes a systemd unit and says how to start it. It starts nothing itself.

mod unit;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use self::unit::{Owner, Unit};
use super::context::{self, Context};
use super::{Common, out};

/// The unit's file.
const UNIT: &str = "hookhand.service";
/// Where an administrator's units are.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The user of the unit when the files belong to root.
const USER_DEFAULT: &str = "hookhand";
/// Ports below need a right of their own.
const PORT_FREE_MIN: u16 = 1024;
/// Longest list of users that is looked through, in bytes.
const PASSWD_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Write the systemd unit; nothing is started
    Install(InstallArgs),
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// A service of yours instead of the system's
    #[arg(long)]
    user: bool,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the unit and nothing else
    #[arg(long)]
    print: bool,
    /// Replace a unit that was changed
    #[arg(long)]
    force: bool,
    /// The system user that runs it [default: the owner of the configuration]
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    run_as: Option<String>,
}

pub(super) fn service(common: &Common, command: &ServiceCommand) -> anyhow::Result<ExitCode> {
    let ServiceCommand::Install(args) = command;
    let context = context::load(common)?;
    let unit = unit(&context, args)?;
    let text = unit.text();
    if args.print {
        out::line(text.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = folder(args)?.join(UNIT);
    if args.dry_run {
        out::line(format!("Would write {}:\n", path.display()))?;
        out::line(text.trim_end())?;
        return steps(args, &unit);
    }
    if !has_systemctl() {
        bail!(
            "there is no systemctl on this machine, so systemd does not run services here; \
             'agent service install --print' prints the unit"
        );
    }
    install(&path, &text, args.force)?;
    steps(args, &unit)
}

fn unit(context: &Context, args: &InstallArgs) -> anyhow::Result<Unit> {
    let config = &context.config;
    let exe = std::env::current_exe().context("cannot tell where this program is")?;
    let cwd = std::env::current_dir().context("cannot tell the current folder")?;
    let folder = config.file.as_deref().and_then(Path::parent).map_or(cwd, Path::to_path_buf);
    let low = |enabled: bool, port: u16| enabled && port != 0 && port < PORT_FREE_MIN;
    let owner = match (&args.run_as, args.user) {
        (_, true) => Owner::Myself,
        (Some(name), false) => Owner::Named(name.clone()),
        (None, false) => match owner_of(config.file.as_deref().unwrap_or(&folder))? {
            Some(name) => Owner::Named(name),
            None => Owner::Missing(USER_DEFAULT.to_owned()),
        },
    };
    if args.run_as.as_deref().is_some_and(|name| !is_user_name(name)) {
        bail!("--run-as takes the name or number of a user");
    }
    Ok(Unit {
        exe: absolute(exe),
        config: config.file.clone().map(absolute),
        folder: absolute(folder),
        data_dir: absolute(config.data_dir.clone()),
        webhooks_flag: !config.webhooks.enabled,
        low_port: low(true, config.webhooks.port) || low(config.dashboard.enabled, config.dashboard.address.port()),
        owner,
    })
}

/// The path without links where it is there, else as it is.
fn absolute(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

fn is_user_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'))
}

/// The user that a file belongs to; `None` for root, who should not run this.
fn owner_of(path: &Path) -> anyhow::Result<Option<String>> {
    let uid = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.uid();
    if uid == 0 {
        return Ok(None);
    }
    let users = fs::File::open("/etc/passwd")
        .and_then(|file| std::io::read_to_string(std::io::Read::take(file, PASSWD_BYTES_MAX)));
    let named = users.unwrap_or_default().lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    Ok(Some(named.filter(|name| is_user_name(name)).unwrap_or_else(|| uid.to_string())))
}

fn folder(args: &InstallArgs) -> anyhow::Result<PathBuf> {
    if !args.user {
        return Ok(SYSTEM_UNITS.into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    Ok(base.context("HOME is not set, so there is no folder for a user's units")?.join("systemd/user"))
}

fn has_systemctl() -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("systemctl").is_file()))
}

fn install(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    match fs::read_to_string(path) {
        Ok(there) if there == text => {
            out::line(format!("{} is there already, as it should be.", path.display()))?;
            return Ok(());
        }
        Ok(_) if !force => bail!("{} is there and differs: --force replaces it", path.display()),
        Ok(_) | Err(_) => {}
    }
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!("{} cannot be written: run it with sudo, or with --user for a service of yours", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display()))?,
    }
    out::line(format!("Wrote {}.", path.display()))?;
    Ok(())
}

/// What a person does now.
fn steps(args: &InstallArgs, unit: &Unit) -> anyhow::Result<ExitCode> {
    out::line("")?;
    if unit.exe.components().any(|part| part.as_os_str() == "target") {
        out::line("The program is in a build folder; copy it somewhere lasting and install from there:")?;
        out::line(format!("  sudo install {} /usr/local/bin/agent\n", unit.exe.display()))?;
    }
    if let Owner::Missing(name) = &unit.owner {
        out::line(format!(
            "The files belong to root, who should not run this. Make the user {name} and give them to it:"
        ))?;
        out::line(format!("  sudo useradd --system --no-create-home --shell /usr/sbin/nologin {name}"))?;
        out::line(format!("  sudo chown -R {name}: {}\n", unit.folder.display()))?;
    }
    let temporary = |path: &&PathBuf| ["/tmp", "/var/tmp"].iter().any(|folder| path.starts_with(folder));
    let paths = [&unit.exe, &unit.folder, &unit.data_dir];
    if let Some(path) = paths.into_iter().find(temporary).filter(|_| !args.user) {
        out::line(format!("The service has a /tmp of its own and will not see {}: move it first.\n", path.display()))?;
    }
    if let (Owner::Named(name) | Owner::Missing(name), false) = (&unit.owner, unit.data_dir.exists()) {
        out::line("The data folder has to be there before the service starts:")?;
        out::line(format!("  sudo install -d -m 700 -o {name} {}\n", unit.data_dir.display()))?;
    }
    out::line("Nothing was started. To start it now and at every boot:")?;
    let (sudo, user) = if args.user { ("", " --user") } else { ("sudo ", "") };
    out::line(format!("  {sudo}systemctl{user} daemon-reload"))?;
    out::line(format!("  {sudo}systemctl{user} enable --now hookhand"))?;
    if args.user {
        out::line("  loginctl enable-linger        # so that it runs while you are logged out")?;
    }
    out::line(format!("Its log:  journalctl{user} -u hookhand -f"))?;
    Ok(ExitCode::SUCCESS)
}
