//! Numbers with what belongs to them: a currency, a scale, a percent sign, a minus. `2999` of a payload is no `$2999`, and `7` no
//! `7 million`.

/// Currencies by the signs, codes and words that sentences write them with.
const CURRENCIES: [(&str, &[&str]); 8] = [
    ("usd", &["$", "us$", "usd", "dollar", "dollars"]),
    ("eur", &["€", "eur", "euro", "euros"]),
    ("gbp", &["£", "gbp", "pound", "pounds"]),
    ("jpy", &["¥", "jpy", "yen"]),
    ("inr", &["₹", "inr", "rupee", "rupees"]),
    ("chf", &["chf", "franc", "francs"]),
    ("cents", &["¢", "cent", "cents", "pence", "penny"]),
    ("krw", &["₩", "krw", "won"]),
];
/// What makes another number of a number.
const SCALES: [(&str, &[&str]); 5] = [
    ("percent", &["%", "percent", "pct"]),
    ("thousand", &["k", "thousand", "thousands"]),
    ("million", &["m", "million", "millions", "mio"]),
    ("billion", &["b", "bn", "billion", "billions"]),
    ("hundred", &["hundred", "hundreds", "dozen", "dozens"]),
];
/// Signs of a number below nothing.
const MINUS: [char; 2] = ['-', '−'];

/// A number and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Figure {
    /// Digits, with a point before decimals; neither separators nor zeros that say nothing.
    pub(super) number: String,
    /// Currency and scales, by the names above, sorted.
    units: Vec<&'static str>,
    negative: bool,
}

impl Figure {
    /// Whether something belongs to it.
    pub(super) fn is_more_than_digits(&self) -> bool {
        self.negative || !self.units.is_empty()
    }

    /// The amount in the smallest unit of its currency, if it is one with two decimals: `2999` of `$29.99`.
    pub(super) fn minor(&self) -> Option<String> {
        let currency = self.units.iter().any(|unit| CURRENCIES.iter().any(|(name, _)| name == unit));
        let (whole, decimals) = self.number.split_once('.').unwrap_or((&self.number, ""));
        let minor = format!("{whole}{decimals:0<2}");
        (currency && decimals.len() <= 2).then(|| minor.trim_start_matches('0').to_owned())
    }
}

/// The figures of a text: words of digits, with signs before and behind them and the unit that the next word may be.
pub(super) fn figures(text: &str) -> Vec<Figure> {
    let tokens: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(mut figure) = figure(token) else { continue };
        for next in tokens[at + 1..].iter().take(2) {
            let Some(unit) = unit(next.trim_matches(|c: char| c.is_ascii_punctuation() && c != '%' && c != '$')) else {
                break;
            };
            figure.units.push(unit);
        }
        // `USD 29.99`.
        if let Some(unit) = at.checked_sub(1).and_then(|before| unit(&tokens[before])).filter(|unit| is_currency(unit))
        {
            figure.units.push(unit);
        }
        figure.units.sort_unstable();
        figure.units.dedup();
        found.push(figure);
    }
    found
}

/// A word that is a number with signs; `None` for names, versions, dates and times.
fn figure(token: &str) -> Option<Figure> {
    let token = token.trim_start_matches(['(', '[', '"', '\'', '“', '‘', '~', '+']);
    let token = token.trim_end_matches([')', ']', '"', '\'', '”', '’', ',', '.', ';', ':', '!', '?']);
    let start = token.find(|c: char| c.is_ascii_digit())?;
    let end = token.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (before, digits, behind) = (&token[..start], &token[start..end], &token[end..]);
    let sign = before.trim_matches(MINUS);
    let mut units = Vec::new();
    for part in [sign, behind] {
        if !part.is_empty() {
            units.push(unit(part)?);
        }
    }
    Some(Figure { number: number(digits)?, units, negative: before.contains(MINUS) })
}

/// `1,234.50` as `1234.5`; `None` where dots or commas stand as in no number.
fn number(digits: &str) -> Option<String> {
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let grouped = groups.clone().count() > 0;
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(first) || !is_digits(decimals) || (grouped && (first.len() > 3 || first.is_empty())) {
        return None;
    }
    let mut number = first.to_owned();
    for group in groups {
        if group.len() != 3 || !is_digits(group) {
            return None;
        }
        number.push_str(group);
    }
    let number = number.trim_start_matches('0');
    let decimals = decimals.trim_end_matches('0');
    let number = if number.is_empty() { "0" } else { number };
    Some(if decimals.is_empty() { number.to_owned() } else { format!("{number}.{decimals}") })
}

fn unit(word: &str) -> Option<&'static str> {
    let known = CURRENCIES.iter().copied().chain(SCALES.iter().copied());
    known.into_iter().find(|(_, words)| words.contains(&word)).map(|(name, _)| name)
}

fn is_currency(unit: &str) -> bool {
    CURRENCIES.iter().any(|(name, _)| *name == unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_what_belongs_to_it() {
        let told = |text: &str| {
            let figures = figures(text).into_iter().map(|figure| {
                let minus = if figure.negative { "-" } else { "" };
                format!(
                    "{minus}{}{}",
                    figure.number,
                    figure.units.iter().map(|unit| format!(" {unit}")).collect::<String>()
                )
            });
            figures.collect::<Vec<_>>().join("; ")
        };
        for (text, expected) in [
            ("Payment of $29.90, twice", "29.9 usd"),
            ("$1,234.50 and 1234.5 USD and USD 1,234.50.", "1234.5 usd; 1234.5 usd; 1234.5 usd"),
            ("7k, 7 million, 7 million dollars", "7 thousand; 7 million; 7 million usd"),
            ("90% or 90 % or 90 percent", "90 percent; 90 percent; 90 percent"),
            ("+120 −3 in 4 files", "120; -3; 4"),
            ("fell by -7 points", "-7"),
            ("#42 v1.2 1.2.3 2026-01-02 10:30 fix-12 4h", ""),
            ("(€5)", "5 eur"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn an_amount_knows_its_smallest_units() {
        let minor = |text: &str| figures(text).remove(0).minor();
        assert_eq!(minor("$29.99").as_deref(), Some("2999"));
        assert_eq!(minor("$0.50").as_deref(), Some("50"));
        assert_eq!(minor("€5").as_deref(), Some("500"));
        assert_eq!(minor("29.99"), None);
    }
}
