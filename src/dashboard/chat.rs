//! Talking over the local API: what `agent chat` uses.
//!
//! `POST /api/chat {"text"}` answers with messages at once (a command, or words without a model) or with the turn that will
//! have the answer; `GET /api/chat/TURN?seen=N&wait=S` answers once more than N characters are there, the turn has ended, or S
//! seconds are over. The turn about the end of a proposal is asked for by its run.

use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use warp::reply::{Reply, Response};

use super::LocalApi;
use super::api::{get, ok};
use super::problem::Problem;
use crate::domain::ids::{RunId, TurnId};
use crate::domain::notice::Message;
use crate::ledger::LedgerError;

/// The longest that one request waits.
const WAIT_SECONDS_MAX: u64 = 25;
/// Longest text of one turn, in characters.
const TEXT_CHARS_MAX: usize = 8000;

/// What became of something that was said.
#[derive(Debug)]
pub enum ChatHeard {
    /// This is the answer.
    Told(Vec<Message>),
    /// The answer comes in this turn.
    Turn(TurnId),
}

/// A turn as far as it has come.
#[derive(Debug, Clone, Serialize)]
pub struct ChatTurn {
    /// Its id.
    pub id: TurnId,
    /// `waiting`, `working`, `answered`, `done` or `cancelled`.
    pub state: String,
    /// What is there of the answer, in the marks that a model writes.
    pub text: String,
    /// Links that it may show.
    pub links: Vec<String>,
    /// Whether nothing more comes.
    pub ended: bool,
    /// Runs that it proposed.
    pub proposed: Vec<RunId>,
}

/// Somebody who answers the person on this machine.
#[async_trait]
pub trait ChatDesk: std::fmt::Debug + Send + Sync + 'static {
    /// Answers `text`, or says where the answer will be.
    async fn say(&self, text: &str) -> Result<ChatHeard, LedgerError>;

    /// A turn, once it has more than `seen` characters or has ended, or after `wait`.
    async fn turn(&self, id: TurnId, seen: usize, wait: Duration) -> Result<Option<ChatTurn>, LedgerError>;

    /// The turn about the end of a run that was proposed, once there is one.
    async fn turn_of_run(&self, run: RunId) -> Result<Option<TurnId>, LedgerError>;
}

/// Answers what begins with `/api/chat`.
pub(super) async fn dispatch(
    api: &LocalApi,
    method: &Method,
    rest: &[&str],
    query: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    match rest {
        [] => {
            if method != Method::POST {
                return Err(Problem::method("POST"));
            }
            say(api, body).await
        }
        [id] => {
            get(method)?;
            turn(api, id, query).await
        }
        _ => Err(Problem::not_found("there is nothing at this path")),
    }
}

async fn say(api: &LocalApi, body: &[u8]) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said {
        text: String,
    }
    let Said { text } = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("write {{\"text\": …}}: {error}")))?;
    if text.trim().is_empty() || text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::bad_request(format!("text has 1 to {TEXT_CHARS_MAX} characters")));
    }
    Ok(match api.chat.say(&text).await? {
        ChatHeard::Told(messages) => ok(&json!({ "messages": messages })),
        ChatHeard::Turn(turn) => {
            let body = warp::reply::json(&json!({ "turn": turn }));
            warp::reply::with_status(body, StatusCode::ACCEPTED).into_response()
        }
    })
}

async fn turn(api: &LocalApi, id: &str, query: &str) -> Result<Response, Problem> {
    let mut seen = 0;
    let mut wait = 0;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number =
            value.parse::<u64>().map_err(|_| Problem::bad_request(format!("{name}={value}: write a number")))?;
        match &*name {
            "seen" => seen = usize::try_from(number).unwrap_or(usize::MAX),
            "wait" => wait = number.min(WAIT_SECONDS_MAX),
            _ => return Err(Problem::bad_request("the parameters are seen and wait")),
        }
    }
    let missing = || Problem::not_found(format!("there is no turn {id}"));
    let turn = match id.parse::<RunId>() {
        Ok(run) => api.chat.turn_of_run(run).await?.ok_or_else(missing)?,
        Err(_) => id.parse().map_err(|error: crate::domain::ids::IdError| Problem::bad_request(error.to_string()))?,
    };
    Ok(ok(&api.chat.turn(turn, seen, Duration::from_secs(wait)).await?.ok_or_else(missing)?))
}
