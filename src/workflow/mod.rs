//! Workflows: what people write (`definition`), what their templates may say (`expr`) and reach (`taint`), and the files
//! that are loaded (`catalog`). Carrying them out is `runner`'s.

pub mod catalog;
pub mod definition;
pub mod expr;
mod nearest;
pub mod taint;
