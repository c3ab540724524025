//! URLs: what says where a request goes is the author's, what says which thing there may be a payload's.

use crate::workflow::expr::Template;

/// Whether the text before a URL template's first tag settles scheme, user, host and port.
pub(crate) fn check_template(template: &Template) -> Result<(), &'static str> {
    const NOT_SETTLED: &str = "would decide which host is asked";
    let Some((scheme, rest)) = template.prefix().split_once("://") else { return Err(NOT_SETTLED) };
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(NOT_SETTLED);
    }
    match rest.find(['/', '?', '#']) {
        Some(0) | None => Err(NOT_SETTLED),
        // A backslash ends the host for some parsers and not for others.
        Some(end) if rest[..end].contains('\\') => Err(NOT_SETTLED),
        Some(_) => Ok(()),
    }
}

/// Whether a URL into which payload text was put still names what its template says.
pub(crate) fn check_rendered(url: &str) -> Result<(), &'static str> {
    if url.chars().any(|c| c.is_control() || c == ' ' || c == '\\') {
        return Err("has a character that no URL has");
    }
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let climbs = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == ".." || plain == "."
    };
    // Encoded slashes and backslashes count too: servers disagree on whether they separate.
    let plain = path.replace("%2F", "/").replace("%2f", "/").replace("%5C", "/").replace("%5c", "/");
    if plain.split('/').skip(1).any(climbs) {
        Err("has a '..' or '.' segment, which names another thing")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::expr::Mode;

    #[test]
    fn a_payload_stays_behind_the_host() {
        let check = |source: &str| check_template(&Template::compile(source, Mode::Url).expect(source));
        for good in [
            "https://a.example/{{ payload.x }}",
            "https://a.example?x={{ payload.x }}",
            "http://h:8/a/{{ payload.x }}/b",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "{{ payload.url }}",
            "https://{{ payload.host }}/x",
            "https://{{ payload.user }}@a.example/",
            "https://a.example:{{ payload.port }}/",
            "https://a.example{{ payload.path }}",
            "https://{{ payload.sub }}.example/",
            "{{ payload.scheme }}://a.example/",
            "https:///{{ payload.x }}",
            "https://a.example\\{{ payload.x }}/",
            "{% if true %}https://a.example/{% endif %}{{ payload.x }}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rendered_url_does_not_climb() {
        for bad in [
            "https://h/a/../b",
            "https://h/..",
            "https://h/%2e%2E/x",
            "https://h/a%2F..%2fb",
            "https://h/./a",
            "https://h/a b",
        ] {
            assert!(check_rendered(bad).is_err(), "{bad}");
        }
        for good in ["https://h/a/b", "https://h/a..b", "https://h/...", "https://h/?x=../..", "https://h"] {
            assert!(check_rendered(good).is_ok(), "{good}");
        }
    }
}
