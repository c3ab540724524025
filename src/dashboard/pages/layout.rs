//! The frame of every page: landmarks, navigation, the word about what was just done.

use maud::{DOCTYPE, Markup, html};

use super::assets;

/// Where a page stands in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Events,
    Runs,
    Approvals,
    Workflows,
    Handlers,
    Memory,
    Audit,
    Settings,
}

/// The sections, in order, with their addresses and names.
pub(super) const NAVIGATION: [(Place, &str, &str); 9] = [
    (Place::Overview, "/", "Overview"),
    (Place::Events, "/events", "Events"),
    (Place::Runs, "/runs", "Runs"),
    (Place::Approvals, "/approvals", "Approvals"),
    (Place::Workflows, "/workflows", "Workflows"),
    (Place::Handlers, "/handlers", "Handlers"),
    (Place::Memory, "/memory", "Memory"),
    (Place::Audit, "/audit", "Audit"),
    (Place::Settings, "/settings", "Settings"),
];

/// Entries that begin a group of their own.
const APART: [Place; 2] = [Place::Workflows, Place::Memory];

/// What stands around a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The page's name, for the window and the history.
    pub(super) title: &'a str,
    /// Its place in the navigation, if it has one.
    pub(super) place: Option<Place>,
    /// Approvals that wait; shown beside their entry.
    pub(super) pending: usize,
    /// What was just done, in a sentence.
    pub(super) flash: Option<&'a str>,
    /// The token for the form that signs out; without one there is nobody to sign out.
    pub(super) csrf: Option<&'a str>,
}

/// A whole page.
pub(super) fn page(frame: Frame<'_>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(frame.title))
            body {
                a.skip href="#main" { "Skip to content" }
                (side(frame))
                main id="main" tabindex="-1" {
                    @if let Some(flash) = frame.flash { p.note.good.flash role="status" { (flash) } }
                    (body)
                }
                div.sr id="said" role="status" aria-live="polite" {}
            }
        }
    }
}

/// A page with nothing around it: before the login.
pub(in crate::dashboard) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body { main.login id="main" { (body) } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · hookhand" }
            link rel="icon" href=(assets::ICON.url()) type="image/svg+xml";
            link rel="stylesheet" href=(assets::CSS.url());
            script src=(assets::JS.url()) defer {}
        }
    }
}

/// The sign and the name.
pub(in crate::dashboard) fn brand() -> Markup {
    html! {
        svg viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true" {
            path d="M12 2v8a4.5 4.5 0 1 1-9 0V9" {}
            path d="M3 9l-1.6 2M3 9l2 1.6" {}
            circle cx="12" cy="2.6" r="1.1" fill="currentColor" stroke="none" {}
        }
        "hookhand"
    }
}

fn side(frame: Frame<'_>) -> Markup {
    html! {
        header.side {
            a.brand href="/" { (brand()) }
            nav aria-label="Pages" {
                ul {
                    @for (place, href, name) in NAVIGATION {
                        li.apart[APART.contains(&place)] {
                            a href=(href) aria-current=[(frame.place == Some(place)).then_some("page")] {
                                (name)
                                @if place == Place::Approvals {
                                    span id="nav-pending" data-live {
                                        @if frame.pending > 0 {
                                            span.count { (frame.pending) span.sr { " waiting" } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            div.foot {
                span { "hookhand " (env!("CARGO_PKG_VERSION")) }
                @if let Some(csrf) = frame.csrf {
                    form method="post" action="/logout" {
                        input type="hidden" name="csrf" value=(csrf);
                        button.quiet { "Sign out" }
                    }
                }
            }
        }
    }
}
