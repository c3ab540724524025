//! What keeps a signature from being compared at all: a header beside it that is not there, or a secret that can be no key.
//! It follows `Signature::verify` step by step, and what it says of a request is said only after that has refused it.

use std::collections::HashSet;

use super::super::diagnosis::Suspect;
use super::content::Parts;
use super::scheme::{Kind, Scheme, Signed};
use super::{Signature, SignedRequest};

/// Why nothing was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Obstacle {
    /// No secret has the form of this sender's, and why.
    Secret(String),
    /// The header, or one that goes with it, cannot be read.
    Header,
}

impl Signature {
    /// What kept the refused signature from being compared; `None` when it was.
    pub(in super::super) fn obstacle(&self, suspect: &Suspect<'_>) -> Option<Obstacle> {
        let request = &suspect.request;
        self.deciding(request.headers).into_iter().find_map(|name| {
            let applying = self.applying(name, request);
            if applying.is_empty() {
                return Some(Obstacle::Header);
            }
            let mut why = String::new();
            for scheme in applying {
                match scheme.usable(suspect.secrets) {
                    Ok(_) => return scheme.is_unreadable(request).then_some(Obstacle::Header),
                    Err(message) => why = message,
                }
            }
            Some(Obstacle::Secret(why))
        })
    }

    /// Whether the URL is a part of what the deciding header signs.
    pub(in super::super) fn signs_url(&self, request: &SignedRequest<'_>) -> bool {
        let deciding: HashSet<_> = self.deciding(request.headers).into_iter().collect();
        self.schemes.iter().filter(|scheme| deciding.contains(&scheme.header)).any(|scheme| match &scheme.kind {
            Kind::Signed(signed) => signed.content.has_url(),
            Kind::Token { .. } | Kind::Basic => false,
        })
    }
}

impl Scheme {
    fn is_unreadable(&self, request: &SignedRequest<'_>) -> bool {
        match &self.kind {
            Kind::Signed(signed) => signed.is_unreadable(self, request),
            Kind::Token { .. } | Kind::Basic => request.headers.get_all(&self.header).iter().count() > 1,
        }
    }
}

impl Signed {
    fn is_unreadable(&self, scheme: &Scheme, request: &SignedRequest<'_>) -> bool {
        let Ok(entries) = self.form.read(request.headers, &scheme.header) else { return true };
        let (Ok(timestamp), Ok(id)) = (self.timestamp(request, &entries), self.id(request)) else { return true };
        let parts = Parts {
            body: request.body,
            timestamp: timestamp.as_deref(),
            id: id.as_deref(),
            url: request.url,
            headers: request.headers,
            fields: &entries.fields,
        };
        self.content.feed(&parts, &mut |_| ()).is_err()
    }
}
