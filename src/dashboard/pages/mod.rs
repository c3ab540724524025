//! The dashboard's pages: what came in, why, and what waits for a person. Rendered whole on the server, typed (`maud`).
//!
//! One file a page. A page reads the ledger and the engine and says what it found; a form posts back here, its change goes
//! through the same engine as every channel's, and the answer is a redirect to the page that shows it. Who may see and change
//! anything was decided before (`super`); texts from outside are cleaned and escaped on the way out.

mod approval;
mod approvals;
mod assets;
mod audit;
mod event;
mod events;
mod handler;
mod handlers;
mod layout;
mod memory;
mod overview;
mod parts;
mod paths;
mod plan;
mod plots;
mod query;
mod replay;
mod run;
mod run_steps;
mod run_values;
mod runs;
mod settings;
mod site;
mod source;
mod tree;
mod workflow;
mod workflow_acts;
mod workflows;

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use maud::{Markup, html};
use warp::reply::{Reply, Response};

use super::LocalApi;
use super::problem::Problem;
use crate::domain::approval::ApprovalState;
use crate::ledger::runs::ApprovalFilter;
use layout::{Frame, Place};
use query::Query;

pub use site::{Advice, Advisor, HandlerFacts, Site};

/// Approvals that are counted in the navigation; more are told as this many.
const PENDING_COUNTED_MAX: usize = 99;

/// Who looks, from where, and when.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    /// What pages are made of.
    api: &'a LocalApi,
    /// The session's token for forms.
    csrf: &'a str,
    /// The query of the address.
    query: &'a Query,
    /// Now.
    now: Timestamp,
}

impl View<'_> {
    fn site(&self) -> &Site {
        &self.api.site
    }
}

/// A page before its frame.
struct Page {
    title: String,
    place: Option<Place>,
    body: Markup,
    status: StatusCode,
}

impl Page {
    fn new(place: Place, title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), place: Some(place), body, status: StatusCode::OK }
    }

    /// The page answers a form that could not be carried out.
    fn refused(self) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..self }
    }
}

/// What a request for a page comes to.
enum Answer {
    Page(Page),
    /// To the page that shows what a form did.
    See(String),
    /// Something that is no page.
    Raw(Response),
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

/// What needs no login: style, script and sign.
pub(super) fn asset(path: &str) -> Option<Response> {
    assets::find(path)
}

/// Answers a request for a page by somebody who has logged in; what changes something has had its token checked.
pub(super) async fn dispatch(
    api: &LocalApi,
    csrf: &str,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Response {
    let query = Query::parse(query.as_bytes());
    let view = View { api, csrf, query: &query, now: api.clock.now() };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let answer = match *method {
        Method::GET | Method::HEAD => show(view, &parts).await,
        Method::POST => act(view, &parts, &Query::parse(body)).await,
        _ => Err(Problem::method("GET, HEAD, POST")),
    };
    match answer {
        Ok(Answer::Page(page)) => framed(view, page).await,
        Ok(Answer::See(to)) => see(&to),
        Ok(Answer::Raw(response)) => response,
        Err(problem) => problem.with_headers(framed(view, failed(&problem, place_of(&parts))).await),
    }
}

async fn show(view: View<'_>, parts: &[&str]) -> Result<Answer, Problem> {
    Ok(match parts {
        [] => overview::show(view).await?.into(),
        ["events"] => events::show(view).await?,
        ["events", id] => event::show(view, id).await?.into(),
        ["events", id, "paths"] => paths::show(view, id).await?.into(),
        ["events", id, "payload"] => Answer::Raw(event::payload(view, id).await?),
        ["events", id, "replay"] => replay::show(view, id).await?.into(),
        ["runs"] => runs::show(view).await?.into(),
        ["runs", id] => run::show(view, id).await?.into(),
        ["approvals"] => approvals::show(view).await?.into(),
        ["approvals", id, "action"] => approval::whole(view, id).await?,
        ["approvals", id] => approval::show(view, id).await?.into(),
        ["workflows"] => workflows::show(view)?.into(),
        ["workflows", name] => workflow::show(view, name, None).await?.into(),
        ["handlers"] => handlers::show(view).await?.into(),
        ["handlers", name] => handler::show(view, name, None).await?.into(),
        ["memory"] => memory::show(view).await?.into(),
        // Where a form went that was answered there; whoever comes back by the address sees the page that it was on.
        ["handlers", name, "test"] => Answer::See(format!("/handlers/{name}")),
        ["workflows", name, "run" | "enabled"] => Answer::See(format!("/workflows/{name}")),
        ["runs", id, "cancel" | "retry" | "settle"] => Answer::See(format!("/runs/{id}")),
        ["memory", _, "forget"] => Answer::See("/memory".to_owned()),
        ["audit"] => audit::show(view).await?.into(),
        ["settings"] => settings::show(view).into(),
        _ => return Err(Problem::not_found("there is no such page")),
    })
}

async fn act(view: View<'_>, parts: &[&str], form: &Query) -> Result<Answer, Problem> {
    match parts {
        ["events", id, "replay"] => replay::act(view, id).await,
        ["runs", id, what @ ("cancel" | "retry" | "settle")] => run::act(view, id, what, form).await,
        ["approvals", id] => approval::act(view, id, form).await,
        ["workflows", name, "run"] => workflow_acts::run(view, name, form).await,
        ["workflows", name, "enabled"] => workflow_acts::enable(view, name, form),
        ["handlers", name, "test"] => handler::act(view, name).await,
        ["memory", id, "forget"] => memory::forget(view, id).await,
        // An address that is none is none for every method.
        _ => show(view, parts).await.and(Err(Problem::method("GET, HEAD"))),
    }
}

pub(super) use layout::{bare, brand};

/// A page within its frame.
async fn framed(view: View<'_>, page: Page) -> Response {
    let filter =
        ApprovalFilter { state: Some(ApprovalState::Pending), limit: PENDING_COUNTED_MAX, ..ApprovalFilter::default() };
    let pending = view.api.triggers.engine.ledger().approvals(filter).await.map_or(0, |page| page.items.len());
    let frame = Frame {
        title: &page.title,
        place: page.place,
        pending,
        flash: view.query.get("done").and_then(said),
        csrf: Some(view.csrf).filter(|csrf| !csrf.is_empty()),
    };
    answer(page.status, layout::page(frame, &page.body))
}

/// The sentences that a redirect may ask for; the address decides only which.
fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "replayed" => "Replayed: this is the new event.",
        "started" => "Started: this is the new run.",
        "cancelled" => "The run is cancelled.",
        "stopping" => "The run is being stopped.",
        "retried" => "The run goes on from its failed step.",
        "settled" => "Settled. The run goes on as you said.",
        "left" => "The run ends here; the step stays in doubt.",
        "approved" => "Approved. The step runs now.",
        "denied" => "Denied. Nothing further of this run happens.",
        "counted" => "Your vote counts; more are needed.",
        "enabled" => "The workflow is enabled.",
        "disabled" => "The workflow is disabled.",
        "forgotten" => "The fact is forgotten.",
        _ => return None,
    })
}

fn failed(problem: &Problem, place: Option<Place>) -> Page {
    let body = html! {
        div.head { div { h1 { (problem.title()) } p.sub { (problem.detail()) } } }
        p { a href="/" { "Back to the overview" } }
    };
    Page { title: problem.title().to_owned(), place, body, status: problem.status() }
}

/// The section that an address lies in.
fn place_of(parts: &[&str]) -> Option<Place> {
    let first = parts.first().copied().unwrap_or_default();
    layout::NAVIGATION.into_iter().find(|(_, href, _)| href.trim_start_matches('/') == first).map(|(place, _, _)| place)
}

/// A refusal before it was clear who asks, or for what page: nothing around it, for the rest may not be theirs to see.
pub(super) fn refused(problem: &Problem) -> Response {
    let body = html! {
        div.enter {
            h1.brand { (brand()) }
            p.note.bad role="alert" { strong { (problem.title()) } br; (problem.detail()) }
            p { a href="/" { "To the overview" } }
        }
    };
    problem.with_headers(answer(problem.status(), bare(problem.title(), &body)))
}

/// A file that a browser keeps and never shows.
fn download(bytes: Vec<u8>, name: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// HTML that nobody keeps.
pub(super) fn answer(status: StatusCode, markup: Markup) -> Response {
    let mut response = warp::reply::with_status(warp::reply::html(markup.into_string()), status).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn see(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
