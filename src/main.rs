//! The binary `agent`: hands its arguments to [`hookhand::cli`] and returns the exit code.

fn main() -> std::process::ExitCode {
    hookhand::cli::main(std::env::args_os())
}
