//! Numbers that a sentence writes in English words.
//!
//! `forty people` claims as much as `40 people`. What is vague (`one of them`, `several`, `first`) claims no number.

/// Words for numbers below a hundred; `one` is left out, since it is said of anything.
const SMALL: [(&str, u64); 28] = [
    ("zero", 0),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("dozen", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];
/// Words that multiply what stands before them, in the plural too (`thousands of customers`).
const LARGE: [(&str, u64); 4] =
    [("hundred", 100), ("thousand", 1_000), ("million", 1_000_000), ("billion", 1_000_000_000)];

/// A number in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    /// Its words, in lower case.
    pub(super) words: Vec<String>,
    /// What they say.
    pub(super) value: u64,
}

/// The numbers among `words`, in order: `two hundred and forty` is one, 240.
pub(super) fn spelled<'w>(words: impl Iterator<Item = &'w str>) -> Vec<Spelled> {
    let mut found: Vec<Spelled> = Vec::new();
    // Of the number that is being read: what stands before the next `thousand`, and what is whole.
    let (mut said, mut part, mut whole) = (Vec::new(), 0_u64, 0_u64);
    let mut end = |said: &mut Vec<String>, part: &mut u64, whole: &mut u64| {
        let value = whole.saturating_add(*part);
        if !said.is_empty() {
            found.push(Spelled { words: std::mem::take(said), value });
        }
        (*part, *whole) = (0, 0);
    };
    let mut words = words.map(str::to_lowercase).peekable();
    while let Some(word) = words.next() {
        let known = |list: &[(&str, u64)], word: &str| list.iter().find(|(name, _)| *name == word).map(|(_, n)| *n);
        let large = known(&LARGE, word.strip_suffix('s').unwrap_or(&word));
        if let Some(small) = known(&SMALL, word.strip_suffix('s').filter(|one| *one == "dozen").unwrap_or(&word)) {
            // `twenty one` is one number, `two three` are two.
            if part % 10 != 0 || (part % 100 != 0 && small >= 10) {
                end(&mut said, &mut part, &mut whole);
            }
            part = part.saturating_add(small);
            said.push(word);
        } else if word == "one" && part % 100 >= 20 && part % 10 == 0 {
            part += 1;
            said.push(word);
        } else if let Some(large) = large {
            let times = part.max(1).saturating_mul(large);
            if large == 100 {
                part = times;
            } else {
                (part, whole) = (0, whole.saturating_add(times));
            }
            said.push(word);
        } else if word == "and" && !said.is_empty() && (part >= 100 || part == 0) {
            // Within a number, unless the next word is none: then it ends there.
            if !words.peek().is_some_and(|next| known(&SMALL, next).is_some()) {
                end(&mut said, &mut part, &mut whole);
            }
        } else {
            end(&mut said, &mut part, &mut whole);
        }
    }
    end(&mut said, &mut part, &mut whole);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words_have_values() {
        let values = |text: &str| spelled(text.split(' ')).into_iter().map(|one| one.value).collect::<Vec<_>>();
        for (text, expected) in [
            ("it is one of them and nothing else", &[][..]),
            ("Two files and three commits", &[2, 3]),
            ("two three", &[2, 3]),
            ("twenty one people", &[21]),
            ("two hundred and forty of them", &[240]),
            ("a hundred and nothing", &[100]),
            ("three thousand two hundred dollars", &[3200]),
            ("Thousands of customers", &[1000]),
            ("a dozen", &[12]),
            ("dozens", &[12]),
            ("fifteen and twenty", &[15, 20]),
            ("nine billion billion billion", &[9_000_000_000 + 1_000_000_000 + 1_000_000_000]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }
}
