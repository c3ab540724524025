//! Programs that read some of their words as code: how the words of one in the `table` are read, and which of them are code.

use super::argv::ArgvWord;
use super::table::{ALWAYS, AWK, MODULES_THAT_RUN, READERS, Reader, SPLITTERS};

/// Shortest beginning of a long option that is taken for it, dashes included.
const ABBREVIATED_MIN: usize = 5;

/// The reader of this name.
pub(super) fn find(name: &str) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.name == name)
}

/// Where among `rest` the script of `name` stands, behind which all words are the script's own.
pub(super) fn script_of(name: &str, rest: &[ArgvWord<'_>]) -> Option<usize> {
    let reader = find(name).filter(|reader| !reader.permutes)?;
    match reader.operand_of(rest)? {
        Operand::Settled(at) => Some(at),
        Operand::Payload => None,
    }
}

/// Why `name`, followed by `rest`, must have no payload value in `rest`.
pub(super) fn refused(name: &str, rest: &[ArgvWord<'_>], starts: bool) -> Option<String> {
    if starts && ALWAYS.contains(&name) {
        return Some(format!("'{name}' runs what its words say"));
    }
    if let Some((_, options)) = SPLITTERS.iter().find(|(known, _)| starts && *known == name)
        && let Some(option) = rest.iter().find_map(|word| takes_code(word.literal, options, ""))
    {
        return Some(format!("'{name} {option}' runs the text that follows"));
    }
    let reader = find(name)?;
    let operand = if starts { reader.operand_of(rest) } else { rest.iter().position(is_file).map(Operand::Settled) };
    // What follows a script's file is the script's own.
    let own = match &operand {
        Some(Operand::Settled(at)) if !reader.permutes => &rest[..*at],
        _ => rest,
    };
    if let Some(option) = own.iter().find_map(|word| takes_code(word.literal, reader.options, reader.valued)) {
        return Some(format!("'{name} {option}' runs text"));
    }
    // `python -u{{ … }}`: more letters, and what follows them.
    let bundled = |word: &&ArgvWord<'_>| word.tainted.is_some() && reader.takes_more_letters(word.literal);
    if let Some(word) = own.iter().find(bundled) {
        return Some(format!("to '{name}' it may be more options behind '{}'", word.literal));
    }
    // A word that another template fills may be such an option.
    let unclear = |word: &ArgvWord<'_>| {
        word.open && word.tainted.is_none() && (word.literal.is_empty() || word.literal.starts_with('-'))
    };
    if starts && own.iter().any(unclear) {
        return Some(format!("'{name}' may run it as text"));
    }
    match operand {
        Some(Operand::Payload) => Some(format!("it would choose what '{name}' runs")),
        _ => sql(name, rest),
    }
}

fn is_file(word: &ArgvWord<'_>) -> bool {
    word.tainted.is_none() && !word.literal.starts_with('-') && word.literal.contains(['.', '/'])
}

/// What a reader of code takes for its code, or the file of it.
enum Operand {
    /// This word.
    Settled(usize),
    /// A payload value, or perhaps one.
    Payload,
}

impl Reader {
    /// The first operand among `rest`. Of an option that is not known, the next word is taken for its value.
    fn operand_of(&self, rest: &[ArgvWord<'_>]) -> Option<Operand> {
        if !self.operand {
            return None;
        }
        let mut at = 0;
        while let Some(word) = rest.get(at) {
            let text = word.literal;
            let ends_options = text == "--" && !word.open;
            if !word.open && self.means_code(text) {
                // `deno eval …`: no operand, though it has no dash.
                at += 1;
                continue;
            }
            if !self.is_option(text) || ends_options {
                let at = if ends_options { at + 1 } else { at };
                return match rest.get(at)? {
                    word if word.tainted.is_some() => Some(Operand::Payload),
                    word if word.open && rest[at..].iter().any(|word| word.tainted.is_some()) => Some(Operand::Payload),
                    _ => Some(Operand::Settled(at)),
                };
            }
            // `python -m{{ … }}`: what is glued to a letter is its value, and only some of awk's are data.
            if word.tainted.is_some() && !text.starts_with("--") {
                if self.options == AWK && text.contains(['v', 'F']) {
                    at += 1;
                    continue;
                }
                return Some(Operand::Payload);
            }
            if self.name == "jq" && ["--arg", "--argjson"].contains(&text) {
                at += 3;
                continue;
            }
            let value = match self.value_of(text) {
                Takes::Next if text.ends_with('m') => {
                    // `python -m module`: the module is the program, unless it runs what follows it.
                    match rest.get(at + 1) {
                        Some(module) if module.tainted.is_some() || module.open => return Some(Operand::Payload),
                        Some(module) if MODULES_THAT_RUN.contains(&module.literal) => Some(module),
                        Some(_) => return Some(Operand::Settled(at + 1)),
                        None => None,
                    }
                }
                Takes::Nothing => None,
                Takes::Next | Takes::Perhaps => rest.get(at + 1),
            };
            // A field separator or variable of awk is data; nothing else is known to be.
            let data = AWK == self.options && (text.ends_with('v') || text.ends_with('F'));
            if value.is_some_and(|value| value.tainted.is_some()) && !data {
                return Some(Operand::Payload);
            }
            if let (Takes::Perhaps, Some(value), false) =
                (self.value_of(text), value, self.permutes || AWK == self.options)
                && is_file(value)
            {
                return Some(Operand::Settled(at + 1));
            }
            at += if value.is_some() { 2 } else { 1 };
        }
        None
    }

    /// Whether `word` is one that means code without a dash.
    fn means_code(&self, word: &str) -> bool {
        self.options.iter().any(|option| !option.starts_with('-') && word.eq_ignore_ascii_case(option))
    }

    fn is_option(&self, word: &str) -> bool {
        (word.len() > 1 && word.starts_with('-')) || (self.plus && word.starts_with('+'))
    }

    /// Whether what follows `literal` in its word may be more of its options, one of which takes code.
    fn takes_more_letters(&self, literal: &str) -> bool {
        let sign = |c: char| c == '-' || (self.plus && c == '+');
        let Some(letters) = literal.strip_prefix(sign).filter(|rest| !rest.starts_with('-')) else { return false };
        let has_letters = self.options.iter().any(|option| option.len() == 2 && option.starts_with('-'));
        has_letters && letters.chars().all(|c| c.is_ascii_alphanumeric() && !self.valued.contains(c))
    }

    fn value_of(&self, option: &str) -> Takes {
        const FLAGS: [&str; 12] = [
            "--norc",
            "--noprofile",
            "--login",
            "--posix",
            "--quiet",
            "--silent",
            "--in-place",
            "--regexp-extended",
            "--null-data",
            "--raw-output",
            "--compact-output",
            "--verbose",
        ];
        if option.starts_with("--") {
            let alone = option.contains('=') || FLAGS.contains(&option);
            return if alone { Takes::Nothing } else { Takes::Perhaps };
        }
        let letters = &option[1..];
        let place = letters.find(|c: char| self.valued.contains(c));
        if place.is_some_and(|place| place + 1 == letters.len()) { Takes::Next } else { Takes::Nothing }
    }
}

/// Whether the word behind an option is its value.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Next,
    Perhaps,
}

/// `sqlite3 file "select …"`: all words behind the file are code.
fn sql(name: &str, rest: &[ArgvWord<'_>]) -> Option<String> {
    let mut behind = rest.iter().filter(|word| !word.literal.starts_with('-')).skip(1);
    let asks = matches!(name, "sqlite3" | "sqlite" | "duckdb");
    (asks && behind.any(|word| word.tainted.is_some())).then(|| format!("'{name}' runs text"))
}

/// The option of `options` that `word` is (letters in `valued` take a value), also within a bundle (`-lc`, `-euxc`) or with a value (`--eval=…`).
fn takes_code(word: &str, options: &[&'static str], valued: &str) -> Option<String> {
    let found = options.iter().find(|option| {
        if option.starts_with("--") {
            // Many programs take a beginning of an option for it: `--checkpoint-act=…`.
            let name = word.split_once('=').map_or(word, |(name, _)| name);
            return name == **option || (name.len() >= ABBREVIATED_MIN && option.starts_with(name));
        }
        if option.len() == 2 && option.starts_with('-') {
            let letter = &option[1..];
            // Shells take `+c` for `-c`'s opposite; nothing is lost by taking it for code too.
            let bundle = word.strip_prefix(['-', '+']).filter(|rest| !rest.starts_with('-'));
            // After the letters of a bundle, code may follow at once: `-ecode`, `-lc`.
            return bundle.is_some_and(|rest| {
                // What follows the letter of an option with a value is that value: `-Fexec`.
                let is_letter = |c: &char| c.is_ascii_alphanumeric() && !valued.contains(*c);
                let letters: String = rest.chars().take_while(is_letter).collect();
                letters.contains(letter)
            });
        }
        word.split_once('=').map_or(word, |(name, _)| name).eq_ignore_ascii_case(option)
    })?;
    let shown = if word.starts_with("--") || !option_is_bundle(word) { (*found).to_owned() } else { word.to_owned() };
    Some(shown)
}

fn option_is_bundle(word: &str) -> bool {
    word.len() <= 8 && word.bytes().skip(1).all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_table_is_one_that_a_payload_may_not_follow() {
        let word = |literal: &'static str, tainted| ArgvWord {
            literal,
            open: tainted,
            tainted: Some("x").filter(|_| tainted),
        };
        for reader in READERS {
            for option in reader.options {
                let words = [word(option, false), word("", true)];
                assert!(refused(reader.name, &words, true).is_some(), "{} {option}", reader.name);
            }
            if reader.operand {
                assert!(refused(reader.name, &[word("", true)], true).is_some(), "{}", reader.name);
            }
        }
    }
}
