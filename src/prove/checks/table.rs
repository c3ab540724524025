//! Tables of expectations: YAML in `src/prove/tables`, which the unit tests of the same rules read too.

use serde::de::DeserializeOwned;

/// A table that is part of the binary.
pub(super) fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| format!("the table {name}: {error}"))
}
