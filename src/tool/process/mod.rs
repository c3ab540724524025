//! Processes: started in a group of their own and in a sandbox, bounded, and gone when their step is.
//!
//! Between the agent and a step's program stands a supervisor, a second process of this binary (`agent __sandbox`): it sets
//! limits and confinement without code between fork and exec, and it kills everything when the agent stops or dies. What a
//! program may see: the system's folders to read, its working folder, the files folder and `files.roots` to write.

mod confine;
mod output;
mod program;
mod protocol;
mod spawn;
mod supervisor;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use program::{FOUND_PROGRAMS_MAX, programs_in};
pub(super) use program::{resolve, shell_words};
pub use protocol::{Confinement, KILL_GRACE, Limits};
pub use supervisor::supervise;

use self::output::{last_lines, value_of};
use self::protocol::{Order, Places};
use self::spawn::{Ended, How};
use super::{Call, ToolContext, ToolFailure, ToolOutput};

/// Keeps other processes of the same user from reading this one's memory and environment, and the kernel from writing them
/// into a core file: what a step runs must not find the agent's secrets in `/proc`, with Landlock or without.
pub fn keep_private() {
    #[cfg(target_os = "linux")]
    if let Err(errno) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(error = %errno, "other processes of this user can read the agent's memory");
    }
}

/// The hidden command of this binary that supervises one step's processes.
pub const SUPERVISE_COMMAND: &str = "__sandbox";
/// Where programs are looked for.
pub const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most bytes that a process reads on its standard input.
pub const STDIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest argument, and longest environment variable with its name, in bytes; the kernel takes no longer one.
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
/// Most bytes of all arguments and variables together.
pub const ARGUMENTS_BYTES_MAX: usize = 1024 * 1024;

/// What processes may read besides their own folders.
const SYSTEM_PLACES: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr",
    "/opt",
    "/nix/store",
    "/etc",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    // Where resolv.conf leads.
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];
/// Devices that they may read and write.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Most lines of standard error in a failure's message.
const MESSAGE_LINES_MAX: usize = 3;
/// Longest part of a failure's message that is the program's, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// How processes are held: which program supervises them, and what the kernel offers.
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    env: Vec<(String, String)>,
    limits: Limits,
    status: OnceLock<Confinement>,
}

impl Sandbox {
    /// Processes are supervised by `program __sandbox`, which is this binary. `env` is what every process gets besides PATH,
    /// HOME and TMPDIR: the agent's LANG and TZ.
    pub fn new(program: PathBuf, env: Vec<(String, String)>) -> Self {
        Self { program, env, limits: Limits::STANDARD, status: OnceLock::new() }
    }

    /// The same with other bounds.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How far the kernel keeps processes to their folders; known once a first one has run.
    pub fn status(&self) -> Option<Confinement> {
        self.status.get().copied()
    }

    /// Runs a program that does nothing, so that [`Sandbox::status`] is known.
    ///
    /// # Errors
    /// When no process can be run.
    pub async fn probe(&self, context: &ToolContext) -> Result<Confinement, ToolFailure> {
        let order = Order {
            argv: vec!["true".into()],
            cwd: PathBuf::from("/"),
            env: vec![("PATH".into(), PATH_DEFAULT.into())],
            stdin_bytes: 0,
            limits: self.limits,
            places: places(&[], &[], context),
        };
        spawn::run(self, &order, &[], super::specs::LOCAL_TIMEOUT_DEFAULT, context).await?;
        self.status().ok_or_else(|| ToolFailure::failed("no process could be run"))
    }

    fn learned(&self, confinement: Confinement) {
        if self.status.set(confinement).is_ok() {
            match confinement {
                Confinement::Full => tracing::info!("processes of steps are kept to their folders by the kernel"),
                Confinement::Partial => tracing::warn!(
                    "this kernel keeps processes of steps to their folders, but does not stop them from signalling others"
                ),
                Confinement::Unavailable => tracing::warn!(
                    "Landlock is not to be had (an older kernel, or a filter of system calls that forbids it): processes of steps can read \
                     and write what the agent's user can"
                ),
            }
        }
    }
}

/// A program to run for a step.
#[derive(Debug)]
pub(super) struct Job {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// The folder to run in.
    pub(super) cwd: PathBuf,
    /// The step's own variables.
    pub(super) env: Vec<(String, String)>,
    /// What it reads.
    pub(super) stdin: Vec<u8>,
    /// A file besides its folders that it may read and run.
    pub(super) program: Option<PathBuf>,
    /// Its folder for temporary files, deleted when this is dropped.
    pub(super) scratch: Arc<super::files::Scratch>,
}

impl Job {
    /// Runs it for `call`.
    pub(super) async fn run(self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let sandbox = &context.sandbox;
        let env = self.environment(call, context);
        check_sizes(&self.argv, &env)?;
        if self.stdin.len() > STDIN_BYTES_MAX {
            let message =
                format!("its standard input would be {} bytes, more than {STDIN_BYTES_MAX}", self.stdin.len());
            return Err(ToolFailure::NeverBegan { message });
        }
        let read: Vec<&Path> = self.program.as_deref().into_iter().collect();
        let order = Order {
            places: places(&read, &[&self.cwd, self.scratch.path()], context),
            argv: self.argv,
            cwd: self.cwd,
            env,
            stdin_bytes: self.stdin.len() as u64,
            limits: sandbox.limits,
        };
        let ended = spawn::run(sandbox, &order, &self.stdin, call.timeout, context).await?;
        told(ended, call, context)
    }

    fn environment(&self, call: &Call, context: &ToolContext) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env = vec![
            ("PATH".to_owned(), PATH_DEFAULT.to_owned()),
            ("HOME".to_owned(), text(context.files.home())),
            ("TMPDIR".to_owned(), text(self.scratch.path())),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("HOOKHAND_RUN".to_owned(), call.run.to_string()),
            ("HOOKHAND_STEP".to_owned(), call.step.clone()),
            ("HOOKHAND_IDEMPOTENCY_KEY".to_owned(), call.idempotency_key.clone()),
        ];
        for (name, value) in context.sandbox.env.iter().chain(&self.env) {
            env.retain(|(set, _)| set != name);
            env.push((name.clone(), value.clone()));
        }
        env
    }
}

/// What no program could be given: the kernel would refuse it, or cut it at a NUL.
fn check_sizes(argv: &[String], env: &[(String, String)]) -> Result<(), ToolFailure> {
    let mut total = 0;
    let mut check = |name: String, text: &str, bytes: usize| {
        total += bytes + 1;
        if text.contains('\0') {
            return Err(ToolFailure::never_began(format!(
                "{name} holds a NUL character, which no program can be given"
            )));
        }
        if bytes > ARGUMENT_BYTES_MAX {
            let message =
                format!("{name} has {bytes} bytes, more than {ARGUMENT_BYTES_MAX}: give it on standard input");
            return Err(ToolFailure::NeverBegan { message });
        }
        Ok(())
    };
    for (at, text) in argv.iter().enumerate() {
        check(format!("argv[{at}]"), text, text.len())?;
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(ToolFailure::never_began(format!("{name:?} cannot name an environment variable")));
        }
        check(format!("env.{name}"), value, name.len() + 1 + value.len())?;
    }
    if total > ARGUMENTS_BYTES_MAX {
        let message = format!("arguments and variables have {total} bytes, more than {ARGUMENTS_BYTES_MAX}");
        return Err(ToolFailure::NeverBegan { message });
    }
    Ok(())
}

/// What a step's processes may see: the system, these, and the folders for files; and nothing that is the agent's own.
fn places(read: &[&Path], write: &[&Path], context: &ToolContext) -> Places {
    let files = &context.files;
    let mut places = Places::default();
    for place in SYSTEM_PLACES.iter().map(Path::new).chain(read.iter().copied()) {
        files.grant(place, &mut places.read, &mut places.list);
    }
    let folders = files.folders();
    for place in write.iter().copied().chain(folders.iter().map(PathBuf::as_path)) {
        files.grant(place, &mut places.write, &mut places.list);
    }
    places.write.extend(DEVICES.iter().map(PathBuf::from));
    places
}

/// A process's end in the words of a tool.
fn told(ended: Ended, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
    let Ended { how, stdout, stderr } = ended;
    let cut = stdout.is_cut();
    let clean = |text: String| context.redactor.clean(&text).into_owned();
    let (out, logs) = (clean(stdout.text()), clean(stderr.text()));
    let output = ToolOutput { value: value_of(&out, cut), truncated: cut, logs };
    let failed = |what: String, output: ToolOutput| {
        let words = last_lines(&output.logs, MESSAGE_LINES_MAX, MESSAGE_CHARS_MAX);
        let message = if words.is_empty() { what } else { format!("{what}: {words}") };
        Err(ToolFailure::Failed { message, output: Some(Box::new(output)) })
    };
    match how {
        How::Exited(0) => Ok(output),
        How::Exited(code) => failed(format!("exit code {code}"), output),
        How::Killed(signal) => failed(format!("ended by signal {signal}"), output),
        How::TooManyProcesses => {
            let most = context.sandbox.limits.processes_max;
            failed(format!("ended because it had more than {most} processes"), output)
        }
        How::TimedOut => Err(ToolFailure::TimedOut { after: call.timeout, output: Some(Box::new(output)) }),
        How::Cancelled => Err(ToolFailure::Cancelled),
        How::Unknown => Err(ToolFailure::Unknown {
            message: "the process that watched the program was killed; whether it did its work is not known".into(),
        }),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn this_process_can_be_made_unreadable_for_others() {
        super::keep_private();
        assert_eq!(dumpable_behavior().expect("told"), DumpableBehavior::NotDumpable);
    }
}
