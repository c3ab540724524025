//! Queries of addresses and the fields of forms: named texts, read once, written back for links that keep the filters.

use form_urlencoded::Serializer;

/// Most fields that are read.
const FIELDS_MAX: usize = 64;

/// Named texts, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().take(FIELDS_MAX).collect())
    }

    /// The first field of this name, unless it is empty, as forms send what nobody filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The address of `path` with these fields, `name` set to `value` and those in `without` left out.
    pub(super) fn with(&self, path: &str, name: &str, value: &str, without: &[&str]) -> String {
        let mut text = Serializer::new(String::new());
        let kept =
            |known: &&(String, String)| known.0 != name && !without.contains(&known.0.as_str()) && !known.1.is_empty();
        text.extend_pairs(self.0.iter().filter(kept));
        text.append_pair(name, value);
        format!("{path}?{}", text.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_the_filters_and_changes_one() {
        let query = Query::parse(b"handler=github&cursor=s1&search=a%26b&status=");
        assert_eq!(query.get("status"), None);
        assert_eq!(query.with("/events", "cursor", "s2", &[]), "/events?handler=github&search=a%26b&cursor=s2");
        assert_eq!(query.with("/events", "handler", "x", &["cursor", "search"]), "/events?handler=x");
    }
}
