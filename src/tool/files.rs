//! Where files may be: the files folder and the folders that the configuration adds, and never the agent's own.
//!
//! A path is judged by where it really is, links resolved, and then opened from that folder without following any, so that
//! nothing can be swapped between the look and the step. Everything beneath the data folder but `files/` is the agent's own,
//! and so are the configuration and `.env`, wherever they lie and by whatever hard link they are named.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Call, ToolFailure};

/// Most entries of a folder that is granted entry by entry because something of the agent's own lies in it.
const GRANTED_ENTRIES_MAX: usize = 2000;
/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// Folders that one path may need to be made.
const MADE_FOLDERS_MAX: usize = 32;

/// The folders that tools may read and write, and what lies in them and is not theirs.
#[derive(Debug, Clone)]
pub struct Files {
    home: PathBuf,
    scratch: PathBuf,
    roots: Vec<PathBuf>,
    data_dir: PathBuf,
    protected: Vec<PathBuf>,
}

/// An existing folder within the allowed ones, and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder, open.
    pub(super) folder: OwnedFd,
    /// The file's name.
    pub(super) name: std::ffi::OsString,
    /// The whole path, for messages.
    pub(super) path: PathBuf,
}

impl Files {
    /// The files folder of `data_dir`, the folders `roots`, and the paths in `protected` (the configuration, `.env`) that no
    /// tool may touch. Everything else beneath `data_dir` is protected too. Paths are absolute.
    pub fn new(data_dir: &Path, roots: Vec<PathBuf>, protected: Vec<PathBuf>) -> Self {
        Self {
            home: data_dir.join("files"),
            scratch: data_dir.join("tmp"),
            roots,
            data_dir: data_dir.to_path_buf(),
            protected,
        }
    }

    /// The files folder: where relative paths start.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folders that tools may use, with links resolved: the files folder, then the roots that exist.
    pub fn folders(&self) -> Vec<PathBuf> {
        let real = |path: &PathBuf| path.canonicalize().ok();
        let home = self.make_home().ok().and_then(|()| real(&self.home));
        home.into_iter().chain(self.roots.iter().filter_map(real)).collect()
    }

    /// Deletes what steps of a dead process left of temporary files. At start, before the first step.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn clean_scratch(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn make_home(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.home)
    }

    /// The folder for a process: `cwd` from the files folder, which is the default.
    pub(super) fn working_folder(&self, cwd: Option<&str>) -> Result<PathBuf, String> {
        self.make_home().map_err(|error| format!("the files folder cannot be made: {}", reason(&error)))?;
        let path = self.home.join(cwd.unwrap_or_default());
        let real = path.canonicalize().map_err(|error| format!("cwd {}: {}", path.display(), reason(&error)))?;
        if !real.is_dir() {
            return Err(format!("cwd {} is no folder", path.display()));
        }
        if self.is_own(&real) {
            return Err(format!("cwd {} is the agent's own folder, which no step may use", path.display()));
        }
        Ok(real)
    }

    /// A fresh folder for one call's temporary files.
    pub(super) fn scratch(&self, call: &Call) -> Result<Arc<Scratch>, ToolFailure> {
        let never = |error: io::Error| ToolFailure::never_began(format!("no temporary folder: {}", reason(&error)));
        let name = hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(call.step.as_bytes())[..8]);
        let path = self.scratch.join(call.run.to_string()).join(format!("{name}-{}", call.attempt));
        if path.exists() {
            fs::remove_dir_all(&path).map_err(never)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(never)?;
        path.canonicalize().map(|path| Arc::new(Scratch(path))).map_err(never)
    }

    /// Opens a file to read. It is a regular one and within the allowed folders.
    pub(super) fn open(&self, path: &str) -> Result<File, String> {
        let asked = self.asked(path)?;
        let real = asked.canonicalize().map_err(|error| format!("{}: {}", asked.display(), reason(&error)))?;
        let root = self.allow(&real, &asked)?;
        let below = real.strip_prefix(&root).unwrap_or(&real);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        // Without O_NONBLOCK opening a pipe would wait for somebody to write.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = File::from(open_below(&root, below, flags).map_err(|error| said(&asked, &error))?);
        let meta = file.metadata().map_err(|error| said(&asked, &error))?;
        if !meta.is_file() {
            return Err(format!("{} is no regular file", asked.display()));
        }
        self.refuse_hard_link(&meta, &asked)?;
        Ok(file)
    }

    /// Finds, and where needed makes, the folder of a file to write.
    pub(super) fn place(&self, path: &str) -> Result<Place, String> {
        let asked = self.asked(path)?;
        if path.ends_with('/') {
            return Err(format!("{} names a folder, not a file", asked.display()));
        }
        // An existing link leads to the file that is written; one that leads nowhere is replaced.
        let target = asked.canonicalize().unwrap_or_else(|_| asked.clone());
        let name = match target.components().next_back() {
            Some(Component::Normal(name)) => name.to_owned(),
            _ => return Err(format!("{} names no file", asked.display())),
        };
        let (existing, missing) = split(target.parent().unwrap_or(&target), &asked)?;
        let mut real = existing.clone();
        real.extend(&missing);
        real.push(&name);
        let root = self.allow(&real, &asked)?;
        let below = existing.strip_prefix(&root).map_err(|_| outside(&asked))?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let system = |error: io::Error| said(&asked, &error);
        let mut folder = open_below(&root, below, OFlags::RDONLY | OFlags::DIRECTORY).map_err(system)?;
        for part in &missing {
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(system(errno.into())),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = rustix::fs::openat(&folder, part, flags, Mode::empty()).map_err(|errno| system(errno.into()))?;
        }
        if let Ok(meta) = fs::symlink_metadata(&real) {
            if meta.is_dir() {
                return Err(format!("{} is a folder", asked.display()));
            }
            self.refuse_hard_link(&meta, &asked)?;
        }
        Ok(Place { folder, name, path: real })
    }

    fn asked(&self, path: &str) -> Result<PathBuf, String> {
        if path.is_empty() || path.contains('\0') {
            return Err("the path is empty or holds a NUL character".into());
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(format!("the path has {} bytes, more than {PATH_BYTES_MAX}", path.len()));
        }
        self.make_home().map_err(|error| format!("the files folder cannot be made: {}", reason(&error)))?;
        Ok(self.home.join(path))
    }

    /// The allowed folder in which the real path `real` lies.
    fn allow(&self, real: &Path, asked: &Path) -> Result<PathBuf, String> {
        if self.is_own(real) {
            return Err(format!("{} is the agent's own, which no step may use", asked.display()));
        }
        self.folders().into_iter().find(|folder| real.starts_with(folder)).ok_or_else(|| outside(asked))
    }

    /// Whether the real path is the agent's own.
    fn is_own(&self, real: &Path) -> bool {
        let beneath = |folder: &Path| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
        let in_data = beneath(&self.data_dir) && !beneath(&self.home);
        in_data || self.protected.iter().any(|path| real == path || beneath(path))
    }

    fn refuse_hard_link(&self, meta: &fs::Metadata, asked: &Path) -> Result<(), String> {
        let own = ["ledger.db", "admin_token"].map(|name| self.data_dir.join(name));
        let same =
            |path: &PathBuf| fs::metadata(path).is_ok_and(|own| own.dev() == meta.dev() && own.ino() == meta.ino());
        if meta.nlink() > 1 && own.iter().chain(&self.protected).any(same) {
            return Err(format!("{} is the agent's own, which no step may use", asked.display()));
        }
        Ok(())
    }

    /// Adds `place` to `whole`, or, when something of the agent's own lies in it, its entries without that; the folder itself
    /// then goes to `listed`. Nothing is added of what is the agent's own.
    pub(super) fn grant(&self, place: &Path, whole: &mut Vec<PathBuf>, listed: &mut Vec<PathBuf>) {
        let own: Vec<PathBuf> =
            self.protected.iter().chain([&self.data_dir]).filter_map(|p| p.canonicalize().ok()).collect();
        let Ok(real) = place.canonicalize() else { return };
        let mut waiting = vec![real];
        while let Some(path) = waiting.pop() {
            if whole.len() > GRANTED_ENTRIES_MAX {
                return;
            }
            let allowed_inside = self.scratch.canonicalize().is_ok_and(|scratch| path.starts_with(scratch));
            if self.is_own(&path) && !allowed_inside {
                // The files folder is inside the data folder and comes as a place of its own.
                continue;
            }
            if path.is_dir() && own.iter().any(|own| own.starts_with(&path)) {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                // A link is granted by where it leads, or not at all.
                waiting
                    .extend(entries.filter(|entry| entry.file_type().is_ok_and(|t| !t.is_symlink())).map(|e| e.path()));
                listed.push(path);
            } else {
                whole.push(path);
            }
        }
    }
}

/// A folder for one call's temporary files; deleted when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only the agent's user can read, and gives its path.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, ToolFailure> {
        let path = self.0.join(name);
        let made = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        made.and_then(|mut file| file.write_all(content))
            .map_err(|error| ToolFailure::never_began(format!("{name} cannot be written: {}", reason(&error))))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %error, "a step's temporary files could not be deleted");
        }
        // The run's folder goes with its last step.
        let _others = self.0.parent().map(fs::remove_dir);
    }
}

/// Opens `below` beneath `root` without following a link on the way.
fn open_below(root: &Path, below: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let folder_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, folder_flags, Mode::empty())?;
    let flags = flags | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&folder, below, flags, Mode::empty(), how) {
            // A kernel before 5.6, or a container that hides the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            opened => return opened.map_err(io::Error::from),
        }
    }
    let mut at = folder;
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { folder_flags } else { flags };
        at = rustix::fs::openat(&at, part.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

/// The part of `folder` that exists, with links resolved, and the names that do not.
fn split(folder: &Path, asked: &Path) -> Result<(PathBuf, Vec<std::ffi::OsString>), String> {
    let mut missing = Vec::new();
    let mut at = folder;
    loop {
        if let Ok(real) = at.canonicalize() {
            missing.reverse();
            return Ok((real, missing));
        }
        let Some(Component::Normal(name)) = at.components().next_back() else { return Err(outside(asked)) };
        if missing.len() >= MADE_FOLDERS_MAX {
            return Err(format!("{} needs more than {MADE_FOLDERS_MAX} new folders", asked.display()));
        }
        missing.push(name.to_owned());
        at = at.parent().ok_or_else(|| outside(asked))?;
    }
}

fn outside(asked: &Path) -> String {
    format!("{} lies outside the files folder and files.roots", asked.display())
}

fn said(asked: &Path, error: &io::Error) -> String {
    format!("{}: {}", asked.display(), reason(error))
}

/// What the system said, without its error number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
