//! Where files may be: the files folder and the folders that the configuration adds, and never the agent's own.

use std::path::{Path, PathBuf};

/// The folders that tools may read and write, and what lies in them and is not theirs.
#[derive(Debug, Clone)]
pub struct Files {
    home: PathBuf,
    roots: Vec<PathBuf>,
    protected: Vec<PathBuf>,
}

impl Files {
    /// The files folder of `data_dir`, the folders `roots`, and the paths in `protected` (the configuration, `.env`) that no
    /// tool may touch. Everything else beneath `data_dir` is protected too.
    pub fn new(data_dir: &Path, roots: Vec<PathBuf>, protected: Vec<PathBuf>) -> Self {
        let mut protected = protected;
        protected.push(data_dir.to_path_buf());
        Self { home: data_dir.join("files"), roots, protected }
    }

    /// The files folder: where relative paths start.
    pub fn home(&self) -> &Path {
        &self.home
    }
}
