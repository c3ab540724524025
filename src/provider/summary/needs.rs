//! Which facts a template needs, found once when the manifest is loaded.
//!
//! A fact may use earlier ones, so what a template needs is what it names and what that needs in turn. A template that
//! names `facts` itself may reach any of them, and so needs all.

use std::collections::{BTreeSet, HashMap};

use minijinja::Environment;

/// The facts of a manifest, by their place in its list, and who needs them.
#[derive(Debug, Default)]
pub(super) struct Needs {
    places: HashMap<String, usize>,
    /// For each fact, the facts that it needs, itself included.
    of_facts: Vec<BTreeSet<usize>>,
    /// For each template, by pattern and then part.
    of_templates: HashMap<String, HashMap<String, BTreeSet<usize>>>,
}

impl Needs {
    /// Notes a fact whose template `template` has been added to `env`, after all those that it may use.
    pub(super) fn add_fact(&mut self, name: &str, env: &Environment<'_>, template: &str) {
        let mut needed = self.named_in(env, template);
        let place = self.of_facts.len();
        needed.insert(place);
        self.of_facts.push(needed);
        self.places.insert(name.to_owned(), place);
    }

    /// Notes a template of a pattern.
    pub(super) fn add_template(&mut self, pattern: &str, part: &str, env: &Environment<'_>, template: &str) {
        let needed = self.named_in(env, template);
        self.of_templates.entry(pattern.to_owned()).or_default().insert(part.to_owned(), needed);
    }

    /// The places of the facts that all templates of `pattern` need, and the `borrowed` ones of other patterns.
    pub(super) fn facts_of<'a>(&self, pattern: &str, borrowed: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<usize> {
        let own = self.of_templates.get(pattern).into_iter().flat_map(HashMap::values);
        let borrowed = borrowed.filter_map(|(of, part)| self.of_templates.get(of)?.get(part));
        let needed: BTreeSet<usize> = own.chain(borrowed).flatten().copied().collect();
        needed.into_iter().collect()
    }

    /// Every place.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.of_facts.len()).collect()
    }

    fn named_in(&self, env: &Environment<'_>, template: &str) -> BTreeSet<usize> {
        let Ok(template) = env.get_template(template) else { return BTreeSet::new() };
        let mut names = template.undeclared_variables(false);
        // What is sliced (`a[2:]`, `(b|c)[:1]`) is not among those, so there every word counts; one too many is only work.
        if may_slice(template.source()) {
            names.extend(words(template.source()));
        }
        if names.contains("facts") {
            return (0..self.of_facts.len()).collect();
        }
        names
            .iter()
            .filter_map(|name| self.places.get(name))
            .flat_map(|place| &self.of_facts[*place])
            .copied()
            .collect()
    }
}

/// Whether a colon stands within square brackets.
fn may_slice(source: &str) -> bool {
    let mut depth = 0_usize;
    source.chars().any(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ':' && depth > 0
    })
}

/// Everything in a template that could be a name.
fn words(source: &str) -> impl Iterator<Item = String> {
    source.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_what_its_facts_need_and_nothing_else() {
        let mut env = Environment::new();
        let mut needs = Needs::default();
        for (name, expression) in
            [("a", "payload.a"), ("b", "payload.b"), ("c", "a ~ payload.c"), ("d", "c ~ 1"), ("e", "(c|list)[a[0]:]")]
        {
            env.add_template_owned(format!("facts/{name}"), format!("{{% set x = ({expression}) %}}")).expect("valid");
            needs.add_fact(name, &env, &format!("facts/{name}"));
        }
        for (part, source) in
            [("title", "{{ d }}"), ("url", "{{ payload.b }}"), ("any", "{{ facts.b }}"), ("cut", "{{ e }}")]
        {
            env.add_template_owned(format!("p/{part}"), source.to_owned()).expect("valid");
            needs.add_template(part, part, &env, &format!("p/{part}"));
        }
        let of = |pattern: &str| needs.facts_of(pattern, std::iter::empty());
        assert_eq!(of("title"), [0, 2, 3]);
        assert_eq!(of("url"), Vec::<usize>::new());
        assert_eq!(of("cut"), [0, 2, 4]);
        assert_eq!(of("any"), [0, 1, 2, 3, 4]);
        assert_eq!(needs.facts_of("url", [("title", "title")].into_iter()), [0, 2, 3]);
    }
}
