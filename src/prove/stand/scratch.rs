//! The folder that everything happens in, gone at the end.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folder.
#[derive(Debug)]
pub(in crate::prove) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes a folder of this name, which must be new.
    pub(in crate::prove) fn make(base: &Path, name: &str, keep: bool) -> io::Result<Self> {
        let path = base.join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, keep })
    }

    pub(in crate::prove) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the system's folder for such things.
            let _left = std::fs::remove_dir_all(&self.path);
        }
    }
}
