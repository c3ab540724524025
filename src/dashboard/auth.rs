//! Who may use the dashboard and the local API: bearers of the token, and browsers that have logged in.
//!
//! A session is a cookie's secret, kept here as a hash and only in memory: a restart logs everybody out. A link that logs in
//! works once and for an hour. Guessing at the login page is slowed down for all at once, because on this machine every
//! guesser has the same address; a bearer's token is too long to be guessed at any speed. It knows nothing of requests beyond
//! their headers; `super` decides what needs a caller.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::ports::Ids;

/// Browsers that are logged in at one time; one more ends the session that was unused for longest.
const SESSIONS_MAX: usize = 32;
/// A session ends so long after its login.
const SESSION_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A session ends when it was unused for so long.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// A login link works for so long.
pub(super) const LINK_AGE_MAX: Duration = Duration::from_secs(3600);
/// Login links that are open at one time; one more ends the oldest.
const LINKS_MAX: usize = 8;
/// Failed logins within [`FAILURES_WINDOW`] after which none is tried.
const FAILURES_MAX: usize = 10;
/// See [`FAILURES_MAX`].
const FAILURES_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Who sends a request.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// It presents the token: the command line, a script. No browser adds that by itself, so it needs no CSRF token.
    Token,
    /// A browser that has logged in. What it changes must carry [`Session::csrf`].
    Session(Session),
}

/// A browser that has logged in.
#[derive(Clone)]
pub(super) struct Session {
    key: [u8; 32],
    csrf: Arc<str>,
}

impl Session {
    /// The token that forms carry in the field `csrf` and scripts in the header `x-csrf-token`.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether `presented` is that token.
    pub(super) fn csrf_is(&self, presented: &str) -> bool {
        bool::from(presented.as_bytes().ct_eq(self.csrf.as_bytes()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(***)")
    }
}

/// Why nobody was logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginRefused {
    /// The token or link is wrong, used or too old.
    Wrong,
    /// Too many failed; try again after this.
    TooMany(Duration),
}

/// The sessions and what opens them.
pub struct Auth {
    token: Secret,
    ids: Arc<dyn Ids>,
    cookie: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<[u8; 32], Open>,
    /// Hashes of links, oldest first.
    links: VecDeque<([u8; 32], Timestamp)>,
    /// When logins failed, oldest first.
    failures: VecDeque<Timestamp>,
}

struct Open {
    csrf: Arc<str>,
    since: Timestamp,
    used: Timestamp,
}

impl Auth {
    /// `port`: browsers keep cookies of all ports of a host together, so two agents on one machine need two names.
    pub fn new(token: Secret, ids: Arc<dyn Ids>, port: u16) -> Self {
        Self { token, ids, cookie: format!("hookhand_{port}"), state: Mutex::default() }
    }

    /// The token of a link that logs in once.
    pub fn new_link(&self, now: Timestamp) -> String {
        let token = self.ids.token();
        let mut state = self.state();
        state.links.push_back((hash(token.as_bytes()), now));
        while state.links.len() > LINKS_MAX {
            state.links.pop_front();
        }
        token
    }

    /// Who sent `headers`; `None` for somebody unknown.
    pub(super) fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        if let Some(presented) = bearer(headers) {
            return bool::from(presented.ct_eq(self.token.expose().as_bytes())).then_some(Caller::Token);
        }
        let key = hash(self.cookie_of(headers)?.as_bytes());
        let mut state = self.state();
        let open = state.sessions.get_mut(&key)?;
        if !is_within(open.since, SESSION_AGE_MAX, now) || !is_within(open.used, SESSION_IDLE_MAX, now) {
            state.sessions.remove(&key);
            return None;
        }
        open.used = now;
        Some(Caller::Session(Session { key, csrf: Arc::clone(&open.csrf) }))
    }

    /// Logs in with the content of `data/admin_token`; the `Set-Cookie` of the new session.
    pub(super) fn login(&self, token: &str, now: Timestamp) -> Result<HeaderValue, LoginRefused> {
        let mut state = self.state();
        state.may_try(now)?;
        if !bool::from(token.as_bytes().ct_eq(self.token.expose().as_bytes())) {
            return Err(state.failed(now));
        }
        Ok(self.open(&mut state, now))
    }

    /// Logs in with a link's token, which is used up by it.
    pub(super) fn login_by_link(&self, token: &str, now: Timestamp) -> Result<HeaderValue, LoginRefused> {
        let mut state = self.state();
        state.may_try(now)?;
        let presented = hash(token.as_bytes());
        let found = state.links.iter().position(|(link, _)| bool::from(link.ct_eq(&presented)));
        let made = found.and_then(|at| state.links.remove(at)).map(|(_, made)| made);
        match made {
            Some(made) if is_within(made, LINK_AGE_MAX, now) => Ok(self.open(&mut state, now)),
            _ => Err(state.failed(now)),
        }
    }

    /// Ends a session; the `Set-Cookie` that removes its cookie.
    pub(super) fn logout(&self, session: &Session) -> HeaderValue {
        self.state().sessions.remove(&session.key);
        self.set_cookie("", Duration::ZERO)
    }

    fn open(&self, state: &mut State, now: Timestamp) -> HeaderValue {
        let secret = self.ids.token();
        let open = Open { csrf: self.ids.token().into(), since: now, used: now };
        if state.sessions.len() >= SESSIONS_MAX
            && let Some(idle) = state.sessions.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| *key)
        {
            state.sessions.remove(&idle);
        }
        state.sessions.insert(hash(secret.as_bytes()), open);
        self.set_cookie(&secret, SESSION_AGE_MAX)
    }

    fn set_cookie(&self, secret: &str, age: Duration) -> HeaderValue {
        let text = format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", self.cookie, age.as_secs());
        HeaderValue::from_str(&text).expect("a name, hex digits and a number")
    }

    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, value)| value)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(***)")
    }
}

impl State {
    fn may_try(&mut self, now: Timestamp) -> Result<(), LoginRefused> {
        while self.failures.front().is_some_and(|at| !is_within(*at, FAILURES_WINDOW, now)) {
            self.failures.pop_front();
        }
        match self.failures.front() {
            Some(first) if self.failures.len() >= FAILURES_MAX => {
                let age = Duration::try_from(now.duration_since(*first)).unwrap_or_default();
                Err(LoginRefused::TooMany(FAILURES_WINDOW.saturating_sub(age)))
            }
            _ => Ok(()),
        }
    }

    fn failed(&mut self, now: Timestamp) -> LoginRefused {
        self.failures.push_back(now);
        tracing::warn!(failures = self.failures.len(), "a login at the dashboard failed");
        LoginRefused::Wrong
    }
}

/// Whether less than `age` has passed since `at`. A clock that stepped back makes nothing older.
fn is_within(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).unwrap_or_default() < age
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::RandomIds;

    const TOKEN: &str = "0123456789";

    fn auth() -> Auth {
        Auth::new(Secret::new(TOKEN).expect("not empty"), Arc::new(RandomIds::default()), 51430)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header value"))])
    }

    fn returned(set_cookie: &HeaderValue) -> HeaderMap {
        let text = set_cookie.to_str().expect("text");
        let pair = text.split(';').next().expect("a pair");
        with(header::COOKIE, &format!("other=1; {pair}"))
    }

    #[test]
    fn only_the_whole_token_is_taken() {
        let auth = auth();
        for (value, taken) in [
            ("Bearer 0123456789", true),
            ("bearer 0123456789", true),
            ("Bearer 012345678", false),
            ("Bearer 01234567890", false),
            ("Bearer ", false),
            ("Basic 0123456789", false),
            ("0123456789", false),
        ] {
            assert_eq!(auth.caller(&with(header::AUTHORIZATION, value), at(0)).is_some(), taken, "{value}");
        }
    }

    #[test]
    fn a_link_logs_in_once_and_not_when_it_is_old() {
        let auth = auth();
        let link = auth.new_link(at(0));
        let cookie = auth.login_by_link(&link, at(10)).expect("fresh");
        assert!(matches!(auth.caller(&returned(&cookie), at(11)), Some(Caller::Session(_))));
        assert_eq!(auth.login_by_link(&link, at(12)).err(), Some(LoginRefused::Wrong), "used");
        let old = auth.new_link(at(0));
        assert_eq!(auth.login_by_link(&old, at(3600)).err(), Some(LoginRefused::Wrong), "too old");
    }

    #[test]
    fn a_session_ends_by_logout_by_age_and_unused() {
        let auth = auth();
        let login = |now| returned(&auth.login(TOKEN, now).expect("the token"));
        let cookie = login(at(0));
        let Some(Caller::Session(session)) = auth.caller(&cookie, at(1)) else { panic!("logged in") };
        assert!(session.csrf_is(session.csrf()) && !session.csrf_is("") && !session.csrf_is("x"));
        auth.logout(&session);
        assert!(auth.caller(&cookie, at(2)).is_none());

        let unused = login(at(0));
        assert!(auth.caller(&unused, at(24 * 3600)).is_none());
        let used = login(at(0));
        let hours = |n: i64| at(n * 3600);
        assert!((1..168).all(|n| auth.caller(&used, hours(n)).is_some()));
        assert!(auth.caller(&used, hours(168)).is_none(), "a week is the longest");
    }

    #[test]
    fn guessing_is_stopped_and_goes_on_when_the_window_has_passed() {
        let auth = auth();
        for n in 0..10 {
            assert_eq!(auth.login("guess", at(n)).err(), Some(LoginRefused::Wrong));
        }
        let wait = Duration::from_secs(290);
        assert_eq!(auth.login(TOKEN, at(10)).err(), Some(LoginRefused::TooMany(wait)), "even the right one waits");
        assert!(auth.login(TOKEN, at(300)).is_ok());
    }

    #[test]
    fn so_many_sessions_and_the_one_unused_for_longest_goes() {
        let auth = auth();
        let login = |n: i64| returned(&auth.login(TOKEN, at(n)).expect("the token"));
        let first = login(0);
        let others: Vec<HeaderMap> = (1..32).map(login).collect();
        assert!(auth.caller(&first, at(40)).is_some());
        let newest = login(41);
        assert!(auth.caller(&others[0], at(42)).is_none(), "unused for longest");
        assert!(auth.caller(&first, at(42)).is_some() && auth.caller(&newest, at(42)).is_some());
    }
}
