//! What holds for every input, a surface a module; the targets feed them, and so do the tests of the main crate.

pub mod harness;
pub mod surfaces;
