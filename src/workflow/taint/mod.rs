//! Where payload text may go, decided before anything runs.
//!
//! A value is payload text when an outsider may have chosen it, or when it was made from such a value. A template that reads
//! one anywhere, be it in a condition, counts as payload text as a whole. When in doubt, it is.

mod argv;
mod asks;
mod common;
mod hints;
mod names;
mod readers;
mod starters;
mod table;
mod url;

pub(crate) use argv::{ArgvWord, CHOOSES_OPTION, check_argv};
pub(crate) use hints::safe_way;
pub(crate) use names::check_name;
pub(crate) use url::{check_rendered as check_rendered_url, check_template as check_url};

use super::expr::{ErrorView, EventView, Reads};

/// The first path that a template reads and that may be payload text; `None` when it reads none.
///
/// Trusted are the few fields of `event` that no sender chooses, `steps.<name>.status`, and `error.step`. Paths come from the
/// engine; every word is looked at besides, so that a way of reading that the engine does not report is no way around.
pub fn source_of(reads: &Reads) -> Option<String> {
    if let Some(path) = reads.paths.iter().find(|path| !is_trusted(path)) {
        return Some(path.clone());
    }
    let reported = |name: &str| reads.roots().any(|root| root == name);
    let hidden = reads.words.iter().find(|word| match word.as_str() {
        "payload" | "facts" | "inputs" | "item" | "previous_output" | "run" => true,
        "steps" | "event" | "error" => !reported(word),
        _ => false,
    });
    hidden.cloned()
}

fn is_trusted(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["event", field] => EventView::TRUSTED.contains(field),
        ["steps", _, "status"] => true,
        ["error", field] => *field == ErrorView::KEYS[0],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::expr::{Mode, Template};

    fn source(template: &str) -> Option<String> {
        source_of(Template::compile(template, Mode::Text).expect(template).reads())
    }

    #[test]
    fn what_an_outsider_may_choose_is_payload_text_however_it_is_read() {
        for template in [
            "{{ payload.a }}",
            "{{ payload['a'] }}",
            "{{ payload }}",
            "{{ event.title }}",
            "{{ event.event }}",
            "{{ event.delivery_id }}",
            "{{ event }}",
            "{{ event[event.id] }}",
            "{{ facts.repo }}",
            "{{ inputs.x }}",
            "{{ item }}",
            "{{ previous_output.x }}",
            "{{ steps.a.output }}",
            "{{ steps.a.error }}",
            "{{ steps['a'].status }}",
            "{{ steps }}",
            "{{ error.message }}",
            "{% set x = payload.a %}{{ x }}",
            "{% set x %}{{ payload.a }}{% endset %}{{ x }}",
            "{% if payload.a %}yes{% else %}no{% endif %}",
            "{% for x in payload.list %}{{ x }}{% endfor %}",
            "{% with x = payload.a %}{{ x }}{% endwith %}",
            "{{ 'a' if payload.a else 'b' }}",
            "{{ event.id ~ payload.a }}",
            "{{ [1]|map(attribute=payload.a) }}",
            "{{ 'x'|default(payload.a) }}",
            "{{ {'a': payload.a}.a }}",
            "{% for item in [1, 2] %}{{ item }}{% endfor %}",
        ] {
            assert!(source(template).is_some(), "{template}");
        }
    }

    #[test]
    fn what_the_author_or_we_chose_is_not() {
        for template in [
            "{{ event.id }}",
            "{{ event.handler }}",
            "{{ steps.a.status }}",
            "{{ error.step }}",
            "{{ 1 + 1 }}",
            "payload",
        ] {
            assert_eq!(source(template), None, "{template}");
        }
    }
}
