//! Talking over the local API: what `agent chat` uses.
//!
//! `POST /api/chat {"text"}` answers with messages at once (a command, or words without a model) or with the turn that will
//! have the answer; `GET /api/chat/TURN?part=P&seen=N&wait=S` answers once more than N characters are there, the model is at a
//! later text than P, the turn has ended, or S seconds are over. The turn about the end of a proposal is asked for by its run.

use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use super::call::{Call, ok, with};
use crate::dashboard::chat::ChatHeard;
use crate::dashboard::problem::Problem;
use crate::domain::ids::{RunId, TurnId};

/// The longest that one request waits.
const WAIT_SECONDS_MAX: u64 = 25;
/// Longest text of one turn, in characters.
const TEXT_CHARS_MAX: usize = 8000;

/// What a person says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// 1 to 8000 characters, not all of them spaces.
    #[schemars(extend("pattern" = r"\S", "maxLength" = TEXT_CHARS_MAX))]
    text: String,
}

/// Where the answer will be.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Turned {
    turn: TurnId,
}

pub(super) async fn say(call: Call) -> Result<Response, Problem> {
    let Said { text } = call.read()?;
    if text.trim().is_empty() || text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::bad_request(format!("text has 1 to {TEXT_CHARS_MAX} characters")));
    }
    match call.api.chat.say(&text).await? {
        ChatHeard::Told(messages) => ok(&serde_json::json!({ "messages": messages })),
        ChatHeard::Turn(turn) => with(StatusCode::ACCEPTED, &Turned { turn }),
    }
}

pub(super) async fn turn(call: Call) -> Result<Response, Problem> {
    let number = |name: &str| call.get_as::<u64>(name);
    let count = |given: u64| usize::try_from(given).unwrap_or(usize::MAX);
    let seen = number("seen")?.map_or(0, count);
    // Whoever does not say which text they have waits for length alone.
    let part = number("part")?.map_or(usize::MAX, count);
    let wait = Duration::from_secs(number("wait")?.unwrap_or(0).min(WAIT_SECONDS_MAX));
    let missing = || Problem::not_found(format!("there is no turn {}", call.var(0)));
    let turn = match call.var(0).parse::<RunId>() {
        Ok(run) => call.api.chat.turn_of_run(run).await?.ok_or_else(missing)?,
        Err(_) => call.var_as(0)?,
    };
    ok(&call.api.chat.turn(turn, part, seen, wait).await?.ok_or_else(missing)?)
}
