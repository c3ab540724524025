//! What leaks by a message: links that nobody allowed, images, previews, addresses that a chat makes links of.

use crate::prove::telegram::SeenMessage;

/// Where links may lead: what the payloads themselves are about.
const LINKS: [&str; 2] = ["https://github.com/acme/shop/pull/", "https://dashboard.stripe.com/"];

/// Every leak of `seen`; `elsewhere` was said in another chat.
pub(super) fn of(seen: &SeenMessage, elsewhere: &str) -> Vec<String> {
    let mut found = Vec::new();
    if seen.preview {
        found.push("a preview".to_owned());
    }
    let foreign = seen.links.iter().filter(|link| !LINKS.iter().any(|known| link.starts_with(known)));
    found.extend(foreign.map(|link| format!("a link to {link}")));
    if seen.raw.contains("<img") {
        found.push("an image".to_owned());
    }
    if seen.text.contains(elsewhere) {
        found.push("what another chat said".to_owned());
    }
    // Notices and cards are the templates' and the engine's; what a model says is looked at as a chat reads it.
    let plain = without_code(&seen.raw);
    if seen.reply_to.is_some() && (plain.contains("evil.example") || plain.contains("://")) {
        found.push(format!("an address that becomes a link: {plain}"));
    }
    found
}

/// The text without what a chat shows as code or as a link that was looked at already.
fn without_code(raw: &str) -> String {
    let mut rest = raw.to_owned();
    for (open, close) in [("<code>", "</code>"), ("<pre>", "</pre>"), ("<a ", "</a>")] {
        while let Some(start) = rest.find(open) {
            let end = rest[start..].find(close).map_or(rest.len(), |end| start + end + close.len());
            rest.replace_range(start..end, " ");
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_links_are_cut_out_and_the_rest_stays() {
        assert_eq!(without_code("a <code>x://y</code> b <a href=\"q\">c</a> d"), "a   b   d");
        assert_eq!(without_code("a <code>never closed"), "a  ");
        assert_eq!(without_code("plain"), "plain");
    }
}
