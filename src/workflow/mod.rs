//! Workflows: what people write (`definition`), what their templates may say (`expr`) and reach (`taint`), and the files
//! that are loaded (`catalog`). Carrying them out is `runner`'s; what others ask of it is `engine`'s.

pub mod catalog;
pub mod definition;
pub mod engine;
pub mod expr;
pub(crate) mod nearest;
mod runner;
pub mod scheduler;
pub mod taint;
