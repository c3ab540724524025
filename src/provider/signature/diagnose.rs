//! Compares a refused signature with what usual mistakes would have made of it.
//!
//! One thing is changed at a time (how the signature is written, the key, the body, what is signed with it, the hash), then
//! key and formula together, since those go wrong together. A bound on the bytes that are hashed holds whatever the request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::super::diagnosis::Suspect;
use super::super::manifest::{Algorithm, Encoding, ListForm, TimeUnit};
use super::super::remedy::{HOLDS_RIGHT, OTHER_UNIT, RIGHT};
use super::age::Stamp;
use super::content::{Content, Parts, query_field};
use super::entries::{BASE64, ENTRIES_MAX};
use super::guesses::{self, Guess};
use super::scheme::{Kind, Scheme, Signed};
use super::{Signature, key};

/// Bytes that one diagnosis may hash; about 10 ms of a core.
const HASHED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that a try counts besides its body.
const TRY_BYTES: usize = 256;

impl Signature {
    /// What may be wrong with a signature that is right and not fresh.
    pub(in super::super) fn why_stale(&self, suspect: &Suspect<'_>) -> Option<String> {
        let now = suspect.now;
        let stamps = self.signed(suspect).filter_map(|(scheme, signed)| {
            let entries = signed.form.read(suspect.request.headers, &scheme.header).ok()?;
            Some((signed.stamp.clone()?, signed.timestamp(&suspect.request, &entries).ok()??))
        });
        for (stamp, text) in stamps {
            for (unit, words) in [(TimeUnit::Ms, "in milliseconds"), (TimeUnit::S, "in seconds")] {
                if unit != stamp.unit && (Stamp { unit, ..stamp.clone() }).check(&text, now).is_ok() {
                    return Some(format!(
                        "{OTHER_UNIT} {words}: the sender writes it in another unit than this provider"
                    ));
                }
            }
        }
        Some("if every request of this sender is refused so, a clock is wrong: compare this machine's (`timedatectl`) with the sender's; if it is this one alone, it was held back on its way or sent again by somebody".to_owned())
    }

    /// What a wrong signature is right for.
    pub(in super::super) fn why_wrong(&self, suspect: &Suspect<'_>) -> Option<String> {
        let mut budget = HASHED_BYTES_MAX;
        for scheme in &self.schemes {
            if !suspect.request.headers.contains_key(&scheme.header) {
                continue;
            }
            let found = match &scheme.kind {
                Kind::Signed(signed) => {
                    Trial::new(scheme, signed, suspect, &mut budget).and_then(|mut trial| trial.run())
                }
                Kind::Token { .. } | Kind::Basic => token(scheme, suspect),
            };
            if found.is_some() {
                return found;
            }
        }
        (budget < TRY_BYTES).then(|| "the body is large, so not every usual mistake was tried".to_owned())
    }

    /// What is odd about a signature that is right for nothing.
    pub(in super::super) fn why_odd(&self, suspect: &Suspect<'_>) -> Option<String> {
        let mut budget = HASHED_BYTES_MAX;
        // Several schemes may share the header; only one that is written so says how long a signature should be.
        let mut signed = self.signed(suspect).filter(|(scheme, _)| scheme.applies(&suspect.request));
        signed.find_map(|(scheme, signed)| Trial::new(scheme, signed, suspect, &mut budget)?.strange_length())
    }

    fn signed<'s>(&'s self, suspect: &Suspect<'_>) -> impl Iterator<Item = (&'s Scheme, &'s Signed)> {
        let headers = suspect.request.headers;
        self.schemes.iter().filter(|scheme| headers.contains_key(&scheme.header)).filter_map(|scheme| {
            match &scheme.kind {
                Kind::Signed(signed) => Some((scheme, &**signed)),
                Kind::Token { .. } | Kind::Basic => None,
            }
        })
    }
}

/// One scheme's signature on trial.
struct Trial<'t> {
    scheme: &'t Scheme,
    signed: &'t Signed,
    suspect: &'t Suspect<'t>,
    candidates: Vec<Vec<u8>>,
    loose: Vec<Loose>,
    timestamp: Option<String>,
    id: Option<String>,
    fields: Vec<(String, String)>,
    budget: &'t mut usize,
}

/// A signature as it may have been meant.
pub(super) struct Loose {
    pub(super) bytes: Vec<u8>,
    encoding: Encoding,
    /// What stands before it.
    tag: String,
}

impl<'t> Trial<'t> {
    fn new(scheme: &'t Scheme, signed: &'t Signed, suspect: &'t Suspect<'t>, budget: &'t mut usize) -> Option<Self> {
        let headers = suspect.request.headers;
        let loose = loose(headers, &scheme.header);
        let mut entries = signed.form.read(headers, &scheme.header).unwrap_or_default();
        if signed.form.list == ListForm::Pairs && entries.tagged == 0 {
            entries.fields = loose_pairs(headers, &scheme.header);
        }
        let timestamp = signed.timestamp(&suspect.request, &entries).ok().flatten();
        let id = signed.id(&suspect.request).ok().flatten();
        let mut candidates: Vec<Vec<u8>> = loose.iter().map(|loose| loose.bytes.clone()).collect();
        candidates.dedup();
        let fields = entries.fields;
        (!candidates.is_empty()).then_some(Self {
            scheme,
            signed,
            suspect,
            candidates,
            loose,
            timestamp,
            id,
            fields,
            budget,
        })
    }

    fn run(&mut self) -> Option<String> {
        let keys: Vec<Vec<u8>> =
            self.suspect.secrets.iter().filter_map(|secret| self.signed.key_of(secret).ok()).collect();
        self.as_written(&keys)
            .or_else(|| self.other_url(&keys))
            .or_else(|| self.other_body(&keys))
            .or_else(|| self.other_key())
            .or_else(|| self.other_formula(&keys))
            .or_else(|| self.other_hash(&keys))
            .or_else(|| self.no_secret())
    }

    /// Right, and written in another way than this sender's.
    fn as_written(&mut self, keys: &[Vec<u8>]) -> Option<String> {
        let at = keys.iter().find_map(|key| self.hit_of(key, self.suspect.request.body, self.suspect.request.url))?;
        let (name, form) = (&self.scheme.header, &self.signed.form);
        let loose = &self.loose[at];
        if let Some(hash) =
            self.signed.body_hash_query.as_deref().filter(|_| !self.signed.body_hash_matches(&self.suspect.request))
        {
            let there = query_field(self.suspect.request.url, hash).is_some();
            return Some(if there {
                format!(
                    "{RIGHT} and '{hash}' in the URL is the hash of another body: something on the way changed the body"
                )
            } else {
                format!(
                    "{RIGHT} for the URL alone, and no '{hash}' in it vouches for the body: let the sender send a form, or JSON with that hash"
                )
            });
        }
        let words = |encoding| match encoding {
            Encoding::Hex => "hexadecimal",
            Encoding::Base64 => "base64",
        };
        if loose.encoding != form.encoding {
            return Some(format!(
                "{RIGHT} and {name} holds it as {}, where {} is expected",
                words(loose.encoding),
                words(form.encoding)
            ));
        }
        let shape = form.shape();
        let (wanted, tag): (String, String) = (
            if shape.is_empty() { "nothing".into() } else { format!("'{shape}'") },
            loose.tag.chars().take(20).collect(),
        );
        if tag == shape {
            return Some(format!("{RIGHT} and {name} holds more than it: that one signature must be alone there"));
        }
        let given = if tag.is_empty() { "nothing".to_owned() } else { format!("'{tag}'") };
        Some(format!(
            "{RIGHT} and {name} is written in another way: {given} stands before it, where {wanted} is expected"
        ))
    }

    fn other_url(&mut self, keys: &[Vec<u8>]) -> Option<String> {
        if !self.signed.content.has_url() {
            return None;
        }
        let request = &self.suspect.request;
        let urls = guesses::urls(request.url, request.headers);
        let found =
            urls.into_iter().find(|url| keys.iter().any(|key| self.hit_of(key, request.body, url).is_some()))?;
        Some(format!(
            "{RIGHT} for the URL {} and this one was taken to be {}: set webhooks.public_url to the address that the sender calls",
            without_query(&found),
            without_query(request.url)
        ))
    }

    fn other_body(&mut self, keys: &[Vec<u8>]) -> Option<String> {
        let url = self.suspect.request.url;
        for (words, body) in guesses::bodies(self.suspect.request.body) {
            if keys.iter().any(|key| self.hit_of(key, &body, url).is_some()) {
                return Some(format!("{RIGHT} {words} {}", guesses::body_advice(words)).trim_end().to_owned());
            }
        }
        None
    }

    fn other_key(&mut self) -> Option<String> {
        let (body, url) = (self.suspect.request.body, self.suspect.request.url);
        self.key_guesses()
            .into_iter()
            .find(|(_, key)| self.hit_of(key, body, url).is_some())
            .map(|(words, _)| format!("{RIGHT} {words}"))
    }

    /// Another formula, under the right key and under guessed ones.
    fn other_formula(&mut self, keys: &[Vec<u8>]) -> Option<String> {
        let headers = self.suspect.request.headers;
        let formulas = guesses::prefixes(headers, self.timestamp.as_deref(), self.id.as_deref());
        let mut guessed = self.key_guesses();
        guessed.splice(0..0, keys.iter().map(|key| ("", key.clone())));
        for (formula, prefix) in formulas {
            let signed = [&prefix, self.suspect.request.body].concat();
            for (words, key) in &guessed {
                if self.plain_hit(self.signed.algorithm, key, &signed) {
                    let and = if words.is_empty() { String::new() } else { format!(", and {words}") };
                    return Some(format!("{RIGHT} {formula}{and}: is this handler's `provider` right?"));
                }
            }
        }
        None
    }

    fn other_hash(&mut self, keys: &[Vec<u8>]) -> Option<String> {
        let own = self.signed.algorithm?;
        let hashes = [(Algorithm::Sha1, "SHA-1"), (Algorithm::Sha256, "SHA-256"), (Algorithm::Sha512, "SHA-512")];
        for (algorithm, name) in hashes.into_iter().filter(|(algorithm, _)| *algorithm != own) {
            let body = self.suspect.request.body.to_vec();
            if keys.iter().any(|key| self.plain_hit(Some(algorithm), key, &body)) {
                return Some(format!("{RIGHT} with {name}, which is not taken: let the sender use another hash"));
            }
        }
        None
    }

    /// A key that is no secret at all.
    fn no_secret(&mut self) -> Option<String> {
        self.signed.algorithm?;
        let (body, url) = (self.suspect.request.body, self.suspect.request.url);
        let guesses = guesses::placeholders(self.suspect.handler);
        let found = guesses.into_iter().find(|(_, key)| self.hit_of(key, body, url).is_some());
        found.map(|(words, _)| format!("{RIGHT} {words}"))
    }

    /// A signature of a length that cannot be right.
    fn strange_length(&self) -> Option<String> {
        let wanted = match self.signed.algorithm {
            Some(Algorithm::Sha1) => 20,
            Some(Algorithm::Sha256) => 32,
            Some(Algorithm::Sha512) | None => 64,
        };
        let lengths: Vec<usize> = self.candidates.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max()?;
        (!lengths.contains(&wanted)).then(|| {
            format!("the signature in {} has {longest} bytes where {wanted} are expected: was it cut, or is it of another kind?", self.scheme.header)
        })
    }

    fn key_guesses(&self) -> Vec<Guess> {
        if self.signed.algorithm.is_none() {
            return Vec::new();
        }
        self.suspect.secrets.iter().flat_map(|secret| guesses::keys(secret.expose())).collect()
    }

    /// Which candidate is right for the scheme's own content over `body` and `url`.
    fn hit_of(&mut self, key: &[u8], body: &[u8], url: &str) -> Option<usize> {
        self.spend(body.len())?;
        let parts = Parts {
            body,
            timestamp: self.timestamp.as_deref(),
            id: self.id.as_deref(),
            url,
            headers: self.suspect.request.headers,
            fields: &self.fields,
        };
        let right =
            |candidate: &Vec<u8>| self.is_right(self.signed.algorithm, key, &self.signed.content, &parts, candidate);
        let found = self.candidates.iter().find(|candidate| right(candidate))?;
        self.loose.iter().position(|loose| loose.bytes == *found)
    }

    /// Whether a candidate is right for these very bytes.
    fn plain_hit(&mut self, algorithm: Option<Algorithm>, key: &[u8], signed: &[u8]) -> bool {
        let Ok(content) = Content::parse("{body}") else { return false };
        if self.spend(signed.len()).is_none() {
            return false;
        }
        let headers = self.suspect.request.headers;
        let parts = Parts { body: signed, timestamp: None, id: None, url: "", headers, fields: &[] };
        self.candidates.iter().any(|candidate| self.is_right(algorithm, key, &content, &parts, candidate))
    }

    fn is_right(
        &self,
        algorithm: Option<Algorithm>,
        key: &[u8],
        content: &Content,
        parts: &Parts<'_>,
        given: &[u8],
    ) -> bool {
        match algorithm {
            Some(algorithm) => key::hmac(algorithm, key, content, parts)
                .is_ok_and(|mac| bool::from(key::any_equal(&mac, std::slice::from_ref(&given.to_vec())))),
            None => {
                let mut message = Vec::new();
                let fed = content.feed(parts, &mut |bytes| message.extend_from_slice(bytes));
                let verifying = key::verifying(key);
                fed.is_ok() && verifying.is_ok_and(|key| key::any_verifies(&key, &message, &[given.to_vec()]))
            }
        }
    }

    fn spend(&mut self, body_bytes: usize) -> Option<()> {
        let cost = (body_bytes + TRY_BYTES) * self.candidates.len();
        let left = self.budget.checked_sub(cost);
        *self.budget = left.unwrap_or(0);
        left.map(drop)
    }
}

/// Everything in a header that may be a signature, whatever stands before it and however it is written.
pub(super) fn loose(headers: &http::HeaderMap, name: &http::HeaderName) -> Vec<Loose> {
    let mut found: Vec<Loose> = Vec::new();
    for value in headers.get_all(name) {
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
        for entry in text.split([',', ' ', ';']).map(|entry| entry.trim().trim_matches('"')).filter(|e| !e.is_empty()) {
            // Base64 ends with `=`, so what stands before a signature ends at the first one that something follows.
            let cuts = entry
                .match_indices(['=', ':'])
                .map(|(at, _)| at + 1)
                .filter(|at| *at < entry.trim_end_matches('=').len());
            let starts = std::iter::once(0).chain(cuts.take(1));
            for start in starts {
                let (tag, rest) = entry.split_at(start);
                let hexed = hex::decode(rest).ok().map(|bytes| (bytes, Encoding::Hex));
                let based = || {
                    BASE64.decode(rest).or_else(|_| URL_SAFE.decode(rest)).ok().map(|bytes| (bytes, Encoding::Base64))
                };
                if let Some((bytes, encoding)) = hexed.or_else(based).filter(|(bytes, _)| bytes.len() >= 16) {
                    found.push(Loose { bytes, encoding, tag: tag.to_owned() });
                }
            }
        }
    }
    found.truncate(ENTRIES_MAX);
    found
}

/// The pairs of a header that puts something else between them than we cut at.
fn loose_pairs(headers: &http::HeaderMap, name: &http::HeaderName) -> Vec<(String, String)> {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let entries = text.split([',', ';', '&', '|', ' ']).filter_map(|entry| entry.split_once(['=', ':']));
    entries.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).take(ENTRIES_MAX).collect()
}

/// What may be wrong with a secret that was sent as it is.
fn token(scheme: &Scheme, suspect: &Suspect<'_>) -> Option<String> {
    let name = &scheme.header;
    let given = suspect.request.headers.get(name)?.to_str().ok()?.trim();
    let bare = given.rsplit(' ').next().unwrap_or_default();
    if bare.is_empty() || given.eq_ignore_ascii_case(scheme.shape().trim()) {
        return Some(format!("{name} holds no secret: none is set at the sender"));
    }
    // What begins so in one of them may well be the secret itself, and then that was compared already.
    if bare.starts_with("${") || bare.starts_with("{{") || bare.ends_with("}}") {
        return Some(format!(
            "{name} holds the name of a variable where the secret should be: it was not filled in at the sender"
        ));
    }
    let decoded = BASE64.decode(bare).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    for secret in suspect.secrets {
        let secret = secret.expose();
        let same = |text: &str| text == secret || text == secret.trim();
        if same(bare) || same(given) {
            return Some(format!(
                "{name} {HOLDS_RIGHT} secret and is written in another way: '{}' is expected before it",
                scheme.shape()
            ));
        }
        if bare.eq_ignore_ascii_case(secret.trim()) {
            return Some(format!("what {name} holds differs from the secret in upper and lower case only"));
        }
        let sides = |text: &'_ str| text.split_once(':').map(|(user, pass)| (user.to_owned(), pass.to_owned()));
        if let (Some((user, pass)), Some((own_user, own_pass))) = (decoded.as_deref().and_then(sides), sides(secret)) {
            if pass == own_pass {
                return Some(format!(
                    "{name} {HOLDS_RIGHT} password, and another user than the secret here (`user:password`) says; the password alone as the secret takes any user"
                ));
            }
            if user == own_user {
                return Some(format!("{name} holds the user of the secret here, and another password"));
            }
        }
        if decoded
            .as_deref()
            .is_some_and(|pair| same(pair) || pair.split_once(':').is_some_and(|(user, pass)| same(user) || same(pass)))
        {
            return Some(format!(
                "{name} {HOLDS_RIGHT} secret as user and password, in another way than expected: for Basic the secret is `user:password`, or the password alone"
            ));
        }
    }
    None
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
