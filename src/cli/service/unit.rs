//! The text of the systemd unit. Everything that the agent does not need is taken from it: of the file system it may write
//! the data folder and nothing else.
//!
//! A user's own service manager may not use namespaces on every system, so such a unit has only what needs none.

use std::path::{Path, PathBuf};

/// What the unit is made of. Every path is absolute.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) exe: PathBuf,
    pub(super) config: Option<PathBuf>,
    /// Where the configuration is, or would be.
    pub(super) folder: PathBuf,
    pub(super) data_dir: PathBuf,
    /// The configuration does not turn the webhook server on by itself.
    pub(super) webhooks_flag: bool,
    /// A configured port is below 1024.
    pub(super) low_port: bool,
    pub(super) owner: Owner,
}

/// Who runs it.
#[derive(Debug)]
pub(super) enum Owner {
    /// The user whose service manager starts it.
    Myself,
    /// This user.
    Named(String),
    /// A user that has to be made.
    Missing(String),
}

const HEAD: &str = "\
# Written by 'agent service install'. Changes belong into a drop-in: systemctl edit hookhand
[Unit]
Description=hookhand: webhooks in, messages out
";

const SERVICE: &str = "\
Restart=on-failure
RestartSec=2
# What is in flight is finished first, which takes at most 25 s.
TimeoutStopSec=30
KillSignal=SIGTERM
UMask=0077
LimitNOFILE=65536
TasksMax=256
MemoryMax=1G
";

/// Needs no privileges: works in a user's manager too.
const HARDENING: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
# Node, Java and others that compile while they run end at once under this; a drop-in with 'no' gives it back to steps.
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# By these the agent confines its steps. Older systemd counts them to no set, and without them steps could read all that it can.
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
";

/// Needs namespaces and the system's manager.
const SYSTEM_HARDENING: &str = "\
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
DevicePolicy=closed
";

impl Unit {
    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(HEAD);
        let system = !matches!(self.owner, Owner::Myself);
        if system {
            text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
        }
        text.push_str("\n[Service]\nType=exec\n");
        if let Owner::Named(user) | Owner::Missing(user) = &self.owner {
            text.push_str(&format!("User={user}\n"));
        }
        let mut line = |key: &str, value: String| text.push_str(&format!("{key}={value}\n"));
        line("WorkingDirectory", escaped(&self.folder).replace('"', ""));
        line("ExecStart", self.command());
        text.push_str(SERVICE);
        text.push_str("\n# What it does not need is taken from it.\n");
        text.push_str(HARDENING);
        if system {
            text.push_str(SYSTEM_HARDENING);
            text.push_str(&self.system_lines());
        }
        let target = if system { "multi-user.target" } else { "default.target" };
        text.push_str(&format!("\n[Install]\nWantedBy={target}\n"));
        text
    }

    fn command(&self) -> String {
        // In a command `$` begins a variable.
        let word = |path: &Path| escaped(path).replace('$', "$$");
        let mut command = word(&self.exe);
        if let Some(config) = &self.config {
            command.push_str(&format!(" --config {}", word(config)));
        }
        if self.webhooks_flag {
            command.push_str(" --webhooks");
        }
        command
    }

    /// The lines that depend on the paths and ports.
    fn system_lines(&self) -> String {
        let homes = ["/home", "/root", "/run/user"];
        let at_home = |path: &Path| homes.iter().any(|home| path.starts_with(home));
        let reads_home = [&self.exe, &self.folder, &self.data_dir].into_iter().any(|path| at_home(path));
        let home = if reads_home { "read-only" } else { "yes" };
        let capabilities = if self.low_port { "CAP_NET_BIND_SERVICE" } else { "" };
        let mut text = format!("ProtectHome={home}\nCapabilityBoundingSet={capabilities}\n");
        if self.low_port {
            text.push_str("AmbientCapabilities=CAP_NET_BIND_SERVICE\n");
        } else {
            text.push_str("PrivateUsers=yes\n");
        }
        // The folder has to be there before the service may write to it.
        text.push_str(&format!("ReadWritePaths={}\n", escaped(&self.data_dir)));
        text
    }
}

/// A path as a value of a unit: `%` begins a specifier, spaces need quotes.
fn escaped(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%$".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")) }
}
