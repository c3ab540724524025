//! The `integrations/<name>/provider.yaml` shape of an earlier system, read as if it were one of our manifests.

use super::Provider;
use super::compile::Embedded;
use crate::domain::fault::Fault;

/// Whether a file has that shape.
pub(super) fn is_reference(_text: &str) -> bool {
    false
}

/// Reads it.
pub(super) fn parse(text: &str, file: &str, _builtin: &[Embedded]) -> Result<Provider, Vec<Fault>> {
    super::compile::parse(text, file, None)
}
