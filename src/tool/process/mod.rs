//! Processes: started in a group of their own and in a sandbox, bounded, and gone when their step is.

/// How processes are held: which program sets the bounds, and what the kernel offers.
#[derive(Debug, Clone)]
pub struct Sandbox {}
