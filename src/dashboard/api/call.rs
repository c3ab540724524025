//! One call of the API: its parts read and judged, before a handler sees them.

use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use warp::reply::{Reply, Response};

use super::route::{Param, Route, VALUE_CHARS_MAX};
use crate::dashboard::LocalApi;
use crate::dashboard::problem::Problem;
use crate::domain::duration;

/// A call whose caller is known.
pub(super) struct Call {
    /// What answers are made of.
    pub(super) api: Arc<LocalApi>,
    vars: Vec<String>,
    query: Vec<(String, String)>,
    /// The request's headers.
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// Judges the query by the parameters of `route`: an unknown one is refused, for a typo would list everything.
    pub(super) fn new(
        api: Arc<LocalApi>,
        route: &Route,
        vars: Vec<String>,
        query: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Self, Problem> {
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (at, (name, _)) in query.iter().enumerate() {
            if !route.query.iter().any(|param| param.name == name) {
                return Err(unknown(name, route.query));
            }
            if query[at].1.chars().count() > VALUE_CHARS_MAX {
                return Err(Problem::bad_request(format!("'{name}' is longer than {VALUE_CHARS_MAX} characters")));
            }
            if query[..at].iter().any(|(before, _)| before == name) {
                return Err(Problem::bad_request(format!("'{name}' is there twice")));
            }
        }
        if let Some(param) = route.query.iter().find(|param| param.required)
            && !query.iter().any(|(name, _)| name == param.name)
        {
            return Err(Problem::bad_request(format!("'{}' is missing", param.name)));
        }
        Ok(Self { api, vars, query, headers, body })
    }

    /// The `n`-th variable of the path.
    pub(super) fn var(&self, n: usize) -> &str {
        self.vars.get(n).map_or("", String::as_str)
    }

    /// The same as an id or a word.
    pub(super) fn var_as<T: FromStr>(&self, n: usize) -> Result<T, Problem>
    where
        T::Err: std::fmt::Display,
    {
        self.var(n).parse().map_err(|error: T::Err| Problem::bad_request(error.to_string()))
    }

    /// A parameter of the query.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same as text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// The same as an id or a word.
    pub(super) fn get_as<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let read = |text: &str| text.parse().map_err(|error: T::Err| Problem::bad_request(format!("{name}: {error}")));
        self.get(name).map(read).transpose()
    }

    /// The same as a time: an instant, or how long ago.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let read = |text: &str| {
            duration::since(text, self.api.clock.now()).ok_or_else(|| {
                Problem::bad_request(format!("{name}={text}: write 30m, 2h, 7d or 2026-01-31T12:00:00Z"))
            })
        };
        self.get(name).map(read).transpose()
    }

    /// The same as a number from 1; who uses it caps it.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let read = |text: &str| match text.parse::<usize>() {
            Ok(number) if number > 0 => Ok(number),
            Err(fault) if *fault.kind() == std::num::IntErrorKind::PosOverflow => Ok(usize::MAX),
            _ => Err(Problem::bad_request(format!("{name}={text}: write a number from 1"))),
        };
        self.get(name).map(read).transpose()
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Problem::bad_request(format!("{name}={other}: write true or false"))),
        }
    }

    /// Whether there is a body at all.
    pub(super) fn has_body(&self) -> bool {
        !self.body.trim_ascii().is_empty()
    }

    /// The body as what is expected.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if let Some(kind) = self.headers.get(header::CONTENT_TYPE)
            && !kind.to_str().is_ok_and(is_json)
        {
            return Err(Problem::media_type());
        }
        let wrong =
            |error: serde_json::Error| Problem::bad_request(format!("the body is not what is expected: {error}"));
        let body: Value = serde_json::from_slice(&self.body).map_err(wrong)?;
        if !body.is_object() {
            return Err(Problem::bad_request("the body is not what is expected: a JSON object"));
        }
        // From the bytes, whose lines and columns its errors name.
        serde_json::from_slice(&self.body).map_err(wrong)
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn unknown(name: &str, known: &[Param]) -> Problem {
    let names: Vec<&str> = known.iter().map(|param| param.name).collect();
    let known =
        if names.is_empty() { "there are none here".to_owned() } else { format!("they are {}", names.join(", ")) };
    let name: String = name.chars().take(80).collect();
    Problem::bad_request(format!("'{name}' is no parameter of this query; {known}"))
}

/// 200 with JSON.
pub(super) fn ok(body: &impl serde::Serialize) -> Result<Response, Problem> {
    with(StatusCode::OK, body)
}

/// JSON with another status.
pub(super) fn with(status: StatusCode, body: &impl serde::Serialize) -> Result<Response, Problem> {
    Ok(warp::reply::with_status(warp::reply::json(body), status).into_response())
}
