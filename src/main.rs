//! The binary `agent`: calls [`hookhand::cli`] and returns its exit code.

fn main() {}
