//! Reading small text files with a bound, and telling what the system said when that fails.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Largest `.env`, in bytes.
pub const DOTENV_BYTES_MAX: u64 = 1024 * 1024;
/// Largest file that holds a secret, in bytes.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a file could not be read. The message shows nothing of its content.
pub(super) struct FileError {
    pub(super) not_found: bool,
    pub(super) message: String,
}

impl FileError {
    fn says(message: String) -> Self {
        Self { not_found: false, message }
    }
}

/// Reads a UTF-8 file of at most `bytes_max`.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    let system = |error: std::io::Error| FileError {
        not_found: error.kind() == ErrorKind::NotFound,
        message: format!("cannot be read: {}", reason(&error)),
    };
    let file = File::open(path).map_err(system)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(system)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::says(format!("is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        FileError::says(format!("is not UTF-8 text (line {line})"))
    })
}

/// What the system said, without its error number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// `path` seen from `folder`, without `.` segments.
pub(super) fn resolve(folder: &Path, path: &str) -> PathBuf {
    folder.join(path).components().collect()
}
