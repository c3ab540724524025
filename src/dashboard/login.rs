//! Logging in and out: the page that asks for the token, the link that works once, and the end of a session.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use maud::{Markup, html};
use warp::reply::{Reply, Response};

use super::auth::{Caller, LoginRefused};
use super::problem::Problem;
use super::{LocalApi, front, pages};

/// Longest address to go to after the login, in bytes.
const NEXT_BYTES_MAX: usize = 2048;

/// Where somebody unknown is sent who asked for a page.
pub(super) fn ask(path: &str, query: &str) -> Response {
    let wanted = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let to = match wanted.as_str() {
        "/" => "/login".to_owned(),
        _ => {
            format!("/login?{}", form_urlencoded::Serializer::new(String::new()).append_pair("next", &wanted).finish())
        }
    };
    see(&to)
}

/// Answers a form of a page whose session has ended, as every restart of the agent ends them: nothing is lost but the change.
pub(super) fn signed_out(headers: &HeaderMap) -> Response {
    let what = "You were signed out meanwhile, so nothing was changed. Log in and try again.";
    page(StatusCode::UNAUTHORIZED, Some(what), front::page_before(headers).as_deref(), None)
}

/// Answers `/login`.
pub(super) fn answer(
    api: &LocalApi,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Problem> {
    let now = api.clock.now();
    match *method {
        Method::GET | Method::HEAD => {
            let next = field(query.as_bytes(), "next");
            let Some(link) = field(query.as_bytes(), "token") else {
                return Ok(page(StatusCode::OK, None, next.as_deref(), None));
            };
            // A page of another site cannot use the link up; the person can, by a button. Looking ahead uses nothing up.
            if front::is_from_elsewhere(headers) || *method == Method::HEAD {
                return Ok(page(StatusCode::OK, None, next.as_deref(), Some(&link)));
            }
            Ok(entered(api.auth.login_by_link(&link, now), next.as_deref(), true))
        }
        Method::POST => {
            if front::is_from_elsewhere(headers) {
                return Err(Problem::forbidden("this form was sent from another site"));
            }
            let next = field(body, "next");
            let outcome = match field(body, "link") {
                Some(link) => (api.auth.login_by_link(&link, now), true),
                None => (api.auth.login(field(body, "token").unwrap_or_default().trim(), now), false),
            };
            Ok(entered(outcome.0, next.as_deref(), outcome.1))
        }
        _ => Err(Problem::method("GET, HEAD, POST")),
    }
}

/// Answers `/logout`.
pub(super) fn leave(api: &LocalApi, method: &Method, caller: &Caller) -> Result<Response, Problem> {
    if *method != Method::POST {
        return Err(Problem::method("POST"));
    }
    let mut response = see("/login");
    if let Caller::Session(session) = caller {
        response.headers_mut().insert(header::SET_COOKIE, api.auth.logout(session));
    }
    Ok(response)
}

fn entered(outcome: Result<HeaderValue, LoginRefused>, next: Option<&str>, by_link: bool) -> Response {
    match outcome {
        Ok(cookie) => {
            let mut response = see(next.filter(|next| is_ours(next)).unwrap_or("/"));
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(LoginRefused::Wrong) => {
            let what = match by_link {
                true => {
                    "This link was used, or is too old. Log in with the token, or restart the agent for a new link."
                }
                false => "That is not the token.",
            };
            page(StatusCode::FORBIDDEN, Some(what), next, None)
        }
        Err(LoginRefused::TooMany(wait)) => {
            let seconds = wait.as_secs().max(1);
            let wait = match seconds.div_ceil(60) {
                1 => format!("{seconds} seconds"),
                minutes => format!("{minutes} minutes"),
            };
            let what = format!("Too many logins failed. Try again in {wait}.");
            let mut response = page(StatusCode::TOO_MANY_REQUESTS, Some(&what), next, None);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}

fn page(status: StatusCode, fault: Option<&str>, next: Option<&str>, link: Option<&str>) -> Response {
    let next = next.filter(|next| is_ours(next));
    let body: Markup = html! {
        div.enter {
            h1.brand { (pages::brand()) }
            @if let Some(fault) = fault { p.note.bad role="alert" { (fault) } }
            form method="post" action="/login" {
                @if let Some(next) = next { input type="hidden" name="next" value=(next); }
                @if let Some(link) = link {
                    input type="hidden" name="link" value=(link);
                    button.primary { "Log in" }
                } @else {
                    label for="token" { "Token" }
                    input type="password" id="token" name="token" autocomplete="current-password" required autofocus;
                    small { "The content of " code { "data/admin_token" } ". The agent also prints a login link at its start." }
                    button.primary { "Log in" }
                }
            }
        }
    };
    pages::answer(status, pages::bare("Log in", &body))
}

/// Whether `next` is a place of this dashboard: browsers read `//host` and `/\host` as another site.
fn is_ours(next: &str) -> bool {
    let mut bytes = next.bytes();
    let safe = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    safe && next.len() <= NEXT_BYTES_MAX && next.bytes().all(|byte| byte.is_ascii_graphic())
}

fn field(pairs: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(pairs).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn see(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    response
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn a_login_leads_to_places_of_this_dashboard_only() {
        assert!(is_ours("/") && is_ours("/events?handler=x&search=a%2Fb"));
        for foreign in ["", "//evil.example", "/\\evil.example", "https://evil.example", "events", "/a\r\nb", "/\tx"] {
            assert!(!is_ours(foreign), "{foreign:?}");
        }
    }
}
