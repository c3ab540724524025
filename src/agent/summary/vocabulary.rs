//! The words and numbers of a summary's sentences: how they are told apart, and which are nobody's.

/// Words that begin sentences in any text and are nobody's name.
pub(super) const STARTERS: &str = "a about above according account across action activity actual added additionally addresses adds affects after \
afterwards again against all allows along also although among an and another any apart applies approval approved \
approximately are around as aside assigned at attempt attempts attention author authored automated awaiting based \
because before below besides between beyond body both branch branches build but by can changed changes charge checks \
closed code comment commented commit commits committed completed confirmed contains contributors created critical \
currently customer customers deleted delivery deployed deployment description despite details developers due during \
each earlier either enables ensures error errors event events every everything except existing failed failure failures \
few files final finally first fixed fixes following for four from further furthermore git had has have he her here \
high his how however i if immediate implements improves in incident includes including initial inside instead \
introduced introduces invoice issue issues it its just key label labelled large last later latest least linked low \
made main major makes many meanwhile merged message messages minor monitoring more moreover most moves multiple my \
near neither new next no none nor not notably note nothing now of off old on once one only onto open opened or order \
orders original other others otherwise our out outside over overall owner paid part parts payment payments pending per \
please prevents previously problem processing product project proposed provides published pull pushed pushes recent \
recently refactors refund refunded regarding related release released removed removes reopened report reported reports \
repository request requested requests requires resolved resolves review reviewer reviewers run running same scheduled \
second sets several she should shows similar since small so some specifically started status still subscription \
succeeded successful successfully such summary supports tag team ten tests than that the their them then there \
therefore these they this those three through throughout thus ticket title to today together total toward transaction \
triggered two under unfortunately unlike until up update updated updates upon urgent user users uses using various \
version via was we were what when where whether which while who whose will with within without work workflow you your";

/// Signs beyond ASCII that sentences may hold.
pub(super) const PUNCTUATION: &str = "–—’‘“”…·×→−€£¥°";
/// Months, which a payload may write as numbers.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Short forms that are nobody's name.
pub(super) const ACRONYMS: [&str; 10] = ["pr", "prs", "ci", "id", "ids", "api", "url", "urls", "utc", "ok"];

/// Words: runs of letters and digits, with apostrophes inside.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’'))
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| !word.is_empty())
}

/// Numbers as they compare: digits without separators between thousands and without leading zeros. `1,234.50` is `1234` and
/// `50`, wherever it stands.
pub(super) fn numbers(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut digits = String::new();
        while at < chars.len() {
            let group =
                |from: usize| chars.get(from..from + 3).is_some_and(|part| part.iter().all(char::is_ascii_digit));
            if chars[at].is_ascii_digit() {
                digits.push(chars[at]);
                at += 1;
            } else if chars[at] == ',' && group(at + 1) && !chars.get(at + 4).is_some_and(char::is_ascii_digit) {
                at += 1;
            } else {
                break;
            }
        }
        let trimmed = digits.trim_start_matches('0');
        found.push(if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() });
    }
    found
}

/// Whether a chat may take a word for an address: `evil.example`, `a.b.co`, `192.0.2.7`.
pub(super) fn domain_like(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    if parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok()) {
        return true;
    }
    let label = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '-');
    parts.len() > 1
        && parts.iter().all(label)
        && parts.last().is_some_and(|last| last.chars().count() > 1 && last.chars().all(char::is_alphabetic))
}

pub(super) fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', ':']).next().filter(|host| !host.is_empty())
}
