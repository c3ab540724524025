//! Amounts of money as a person reads them: `$29.99`, `¥500`, `BHD 1.500`, never `2999`.
//!
//! Senders give either minor units as an integer (Stripe) or major units as a decimal text (Shopify). No floating point is
//! involved, so that no amount is ever off by a cent.

use jiff::Timestamp;

/// Currencies without minor units. Source: Stripe's list of zero-decimal currencies, docs.stripe.com/currencies.
const ZERO_DECIMAL: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Currencies with three decimals: Stripe's list and the rest of ISO 4217.
const THREE_DECIMAL: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Currencies that have no minor unit in use and that Stripe's API counts in hundredths all the same.
const HUNDREDTHS_UNUSED: &[&str] = &["ISK", "UGX"];
/// Signs that a reader takes for one currency only.
const SIGNS: &[(&str, &str)] = &[
    ("USD", "$"),
    ("EUR", "€"),
    ("GBP", "£"),
    ("JPY", "¥"),
    ("INR", "₹"),
    ("KRW", "₩"),
    ("ILS", "₪"),
    ("VND", "₫"),
    ("PHP", "₱"),
    ("UAH", "₴"),
    ("NGN", "₦"),
    ("AUD", "A$"),
    ("CAD", "CA$"),
    ("NZD", "NZ$"),
    ("HKD", "HK$"),
    ("SGD", "S$"),
    ("MXN", "MX$"),
    ("BRL", "R$"),
    ("CNY", "CN¥"),
    ("TWD", "NT$"),
];
/// Longest currency code that is shown; ISO 4217 has three letters, tokens have a few more.
const CODE_CHARS_MAX: usize = 8;

/// An amount in minor units: `money(2999, "usd")` is `$29.99`.
pub fn minor(amount: i128, currency: &str) -> String {
    let code = code(currency);
    let decimals = decimals(&code);
    let magnitude = amount.unsigned_abs();
    let unit = 10_u128.pow(decimals);
    let (whole, fraction) = (magnitude / unit, magnitude % unit);
    let number = if decimals == 0 || (fraction == 0 && HUNDREDTHS_UNUSED.contains(&code.as_str())) {
        grouped(&whole.to_string())
    } else {
        format!("{}.{fraction:0width$}", grouped(&whole.to_string()), width = decimals as usize)
    };
    dressed(amount < 0, &number, &code)
}

/// An amount in major units as a decimal text: `major("29.9", "EUR")` is `€29.90`; `None` when it is no number.
pub fn major(text: &str, currency: &str) -> Option<String> {
    let code = code(currency);
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 30 || fraction.len() > 30 || !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let significant = fraction.trim_end_matches('0');
    let least = if HUNDREDTHS_UNUSED.contains(&code.as_str()) { 0 } else { decimals(&code) as usize };
    let whole = grouped(whole.trim_start_matches('0'));
    let number = match (significant.len(), least) {
        (0, 0) => whole,
        _ => format!("{whole}.{significant:0<least$}"),
    };
    Some(dressed(negative, &number, &code))
}

/// Millionths of a US dollar: `$0.27`, and `$0.000027` where cents would hide it.
pub fn micro_usd(micro: u64) -> String {
    if micro == 0 || micro >= 10_000 {
        return minor(i128::from(micro.div_ceil(10_000)), "usd");
    }
    let digits = format!("{micro:06}");
    format!("$0.{}", digits.trim_end_matches('0'))
}

/// Midnight before `at`, UTC: when a day's budget begins.
pub fn day_began(at: Timestamp) -> Timestamp {
    const DAY_SECONDS: i64 = 86_400;
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(DAY_SECONDS)).unwrap_or(at)
}

fn code(currency: &str) -> String {
    currency.chars().filter(char::is_ascii_alphanumeric).take(CODE_CHARS_MAX).collect::<String>().to_ascii_uppercase()
}

fn decimals(code: &str) -> u32 {
    if ZERO_DECIMAL.contains(&code) {
        0
    } else if THREE_DECIMAL.contains(&code) {
        3
    } else {
        2
    }
}

/// Puts a comma before every third digit from the right; an empty text is zero.
pub fn grouped(digits: &str) -> String {
    if digits.is_empty() {
        return "0".into();
    }
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn dressed(negative: bool, number: &str, code: &str) -> String {
    let minus = if negative { "-" } else { "" };
    match SIGNS.iter().find(|(known, _)| *known == code) {
        Some((_, sign)) => format!("{minus}{sign}{number}"),
        None if code.is_empty() => format!("{minus}{number}"),
        None => format!("{minus}{number} {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_follow_the_currency() {
        let cases = [
            (2999, "usd", "$29.99"),
            (5, "usd", "$0.05"),
            (0, "eur", "€0.00"),
            (-1250, "gbp", "-£12.50"),
            (123_456_789, "usd", "$1,234,567.89"),
            (500, "jpy", "¥500"),
            (50_000, "krw", "₩50,000"),
            (1500, "bhd", "1.500 BHD"),
            (500, "ugx", "5 UGX"),
            (550, "isk", "5.50 ISK"),
            (2999, "chf", "29.99 CHF"),
            (2999, "", "29.99"),
        ];
        for (amount, currency, expected) in cases {
            assert_eq!(minor(amount, currency), expected);
        }
        assert!(minor(i128::MIN, "usd").starts_with("-$1"));
    }

    #[test]
    fn little_money_is_not_rounded_away_and_days_begin_at_midnight() {
        let told: Vec<String> = [0, 27, 9_990, 10_000, 1_234_567].map(micro_usd).into();
        assert_eq!(told, ["$0.00", "$0.000027", "$0.00999", "$0.01", "$1.24"]);
        let at: Timestamp = "2026-01-02T03:04:05.6Z".parse().expect("a time");
        assert_eq!(day_began(at).to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(day_began(day_began(at)), day_began(at));
    }

    #[test]
    fn major_units_keep_what_they_say_and_get_the_decimals_of_their_currency() {
        let cases = [
            ("29.9", "EUR", Some("€29.90")),
            ("1234.5", "USD", Some("$1,234.50")),
            ("500.00", "JPY", Some("¥500")),
            ("0.005", "USD", Some("$0.005")),
            ("-7", "USD", Some("-$7.00")),
            ("12.30", "KWD", Some("12.300 KWD")),
            ("many", "USD", None),
            ("1e5", "USD", None),
            ("", "USD", None),
        ];
        for (text, currency, expected) in cases {
            assert_eq!(major(text, currency).as_deref(), expected, "{text} {currency}");
        }
    }
}
