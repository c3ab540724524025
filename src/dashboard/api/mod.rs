//! The API: one table of routes, and the way from a request to its handler.
//!
//! Requests are judged by the table and the OpenAPI document is made of it, so the two cannot tell different things. Who may
//! call was decided before (`super`).

mod approvals;
mod call;
mod chat;
mod events;
mod metrics;
mod openapi;
mod plain;
mod route;
mod runs;
mod stream;
mod table;
mod workflows;

use std::sync::Arc;

use http::{HeaderMap, Method};
use warp::reply::Response;

use super::LocalApi;
use super::problem::Problem;
use call::Call;
use route::Route;

pub use stream::Streams;

/// Answers a request to the API.
pub(super) async fn dispatch(
    api: &Arc<LocalApi>,
    method: &Method,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Response, Problem> {
    let (route, vars) = find(method, path)?;
    let call = Call::new(Arc::clone(api), route, vars, query, headers, body)?;
    (route.handler)(call).await
}

/// The route of a request; a path without variables hides those with.
fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    let mut here: Vec<(&Route, Vec<String>)> =
        table::ROUTES.iter().filter_map(|route| Some((route, route.matches(path)?))).collect();
    let fewest = here.iter().map(|(_, vars)| vars.len()).min().unwrap_or(0);
    here.retain(|(_, vars)| vars.len() == fewest);
    let wanted = if *method == Method::HEAD { Method::GET } else { method.clone() };
    if let Some(at) = here.iter().position(|(route, _)| route.method == wanted) {
        return Ok(here.swap_remove(at));
    }
    if here.is_empty() {
        return Err(Problem::not_found(format!("there is nothing at {path}")));
    }
    let mut allowed: Vec<&str> = Vec::new();
    for (route, _) in &here {
        allowed.push(route.method.as_str());
        if route.method == Method::GET {
            allowed.push("HEAD");
        }
    }
    Err(Problem::method(allowed.join(", ")))
}
