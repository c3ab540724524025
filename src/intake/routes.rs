//! What is served where: one table from path to target, replaced as a whole when handlers change.
//!
//! A path is matched as it was sent, byte for byte: `%6f` is not `o`, `//` is not `/`, letters keep their case; handler
//! names need no escapes, so nobody who copies a URL meets this. One slash at the end is tolerated, because people add it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::admission::Admission;
use super::limiter::ClientLimiter;
use super::mask::Masker;
use crate::config::{Handler, ResponseType, Secret, Webhooks};
use crate::domain::event::HandlerName;
use crate::domain::fault::Fault;
use crate::domain::net::Cidr;
use crate::ports::Clock;
use crate::provider::{Provider, Registry};

/// The three prefixes under which each handler is served.
pub use crate::config::PATH_PREFIXES as PREFIXES;

/// The provider of handlers that name none and are not called like one.
pub const PROVIDER_DEFAULT: &str = "custom";

/// The name of the route that starts a workflow by name.
pub const GENERIC: &str = "generic";

/// Whose signature rule a route has, and what a wrong signature answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// A handler: 401.
    Handler,
    /// `generic`: 403.
    Generic,
    /// A workflow's own route: 403.
    Workflow,
}

/// One place that takes webhooks.
#[derive(Debug, Clone)]
pub struct Route {
    /// The handler's name.
    pub name: HandlerName,
    /// What it is.
    pub kind: RouteKind,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Who reads and verifies its requests.
    pub provider: Arc<Provider>,
    /// Its secrets: its own, else the common one.
    pub secrets: Vec<Secret>,
    /// Event types that are wanted; empty wants all.
    pub events: Vec<String>,
    /// How it answers.
    pub response_type: ResponseType,
    /// Clients that are admitted, besides the common list.
    pub allowed: Vec<Cidr>,
    /// Its rate limiter.
    pub limiter: Option<Arc<ClientLimiter>>,
    /// Unsigned requests are accepted.
    pub allow_unsigned: bool,
    /// Takes secrets out of what is kept.
    pub masker: Masker,
}

/// What a path leads to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A handler or `generic`.
    Route(Arc<Route>),
    /// What a handler expects; the path is the handler's.
    Test(Arc<Route>, Arc<str>),
    /// `/health`.
    Health,
}

/// The table.
#[derive(Debug)]
pub struct Routes {
    targets: HashMap<Box<str>, Target>,
    /// Handlers that are switched on, by name.
    pub enabled: Vec<HandlerName>,
    /// The providers, for telling whose signature a refused one is.
    pub registry: Registry,
    /// What every workflow's route is made from.
    workflow: Option<Arc<Route>>,
}

impl Routes {
    /// Builds the table.
    ///
    /// # Errors
    /// Every fault: a provider that does not exist, two things that claim one path.
    pub fn build(
        config: &Webhooks,
        registry: &Registry,
        admission: &Admission,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Vec<Fault>> {
        let mut table = Builder { targets: HashMap::new(), owners: HashMap::new(), faults: Vec::new() };
        table.claim("/health", Target::Health, "the health page", "webhooks");
        let generic = generic_handler(config);
        let workflow = table.route(config, &generic, RouteKind::Generic, registry, admission, clock);
        if let Some(route) = &workflow {
            for prefix in PREFIXES {
                table.claim(
                    &format!("{prefix}{GENERIC}"),
                    Target::Route(Arc::clone(route)),
                    "the workflow route",
                    "webhooks",
                );
            }
        }
        for handler in config.handlers.values() {
            if let Some(route) = table.route(config, handler, RouteKind::Handler, registry, admission, clock) {
                table.claim_handler(handler, &route);
            }
        }
        let enabled = config.handlers.values().filter(|handler| handler.enabled).map(|handler| handler.name.clone());
        if table.faults.is_empty() {
            Ok(Self { targets: table.targets, enabled: enabled.collect(), registry: registry.clone(), workflow })
        } else {
            Err(table.faults)
        }
    }

    /// What a workflow's route is made from: the common secret and the signatures of `custom`.
    pub fn workflow(&self) -> Option<Arc<Route>> {
        self.workflow.clone()
    }

    /// What is at `path`.
    pub fn find(&self, path: &str) -> Option<Target> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        self.targets.get(path).cloned()
    }
}

struct Builder {
    targets: HashMap<Box<str>, Target>,
    owners: HashMap<Box<str>, String>,
    faults: Vec<Fault>,
}

impl Builder {
    fn fault(&mut self, key: &str, message: String, hint: Option<String>) {
        let file = "config".to_owned();
        self.faults.push(Fault { file, line: None, column: None, key: Some(key.to_owned()), message, hint });
    }

    fn claim(&mut self, path: &str, target: Target, owner: &str, key: &str) {
        match self.owners.entry(path.into()) {
            Entry::Vacant(free) => {
                free.insert(owner.to_owned());
                self.targets.insert(path.into(), target);
            }
            Entry::Occupied(taken) => {
                let message = format!("{owner} and {} both claim the path {path}", taken.get());
                self.fault(key, message, Some("give one of them another `path`".to_owned()));
            }
        }
    }

    fn claim_handler(&mut self, handler: &Handler, route: &Arc<Route>) {
        let (owner, key) = (format!("handler '{}'", handler.name), format!("webhooks.handlers.{}", handler.name));
        for path in paths(handler) {
            self.claim(&path, Target::Route(Arc::clone(route)), &owner, &key);
            self.claim(&format!("{path}/test"), Target::Test(Arc::clone(route), path.as_str().into()), &owner, &key);
        }
    }

    fn route(
        &mut self,
        config: &Webhooks,
        handler: &Handler,
        kind: RouteKind,
        registry: &Registry,
        admission: &Admission,
        clock: &Arc<dyn Clock>,
    ) -> Option<Arc<Route>> {
        let provider = match &handler.provider {
            Some(name) => registry.get(name).cloned(),
            None => registry.get(handler.name.as_str()).or_else(|| registry.get(PROVIDER_DEFAULT)).cloned(),
        };
        let Some(provider) = provider else {
            let name = handler.provider.as_deref().unwrap_or(PROVIDER_DEFAULT);
            let key = format!("webhooks.handlers.{}.provider", handler.name);
            self.fault(&key, format!("there is no provider '{name}'"), None);
            return None;
        };
        let common = config.common_secret.iter();
        let secrets: Vec<Secret> =
            if handler.secrets.is_empty() { common.cloned().collect() } else { handler.secrets.clone() };
        let hidden = config.handlers.values().flat_map(|other| &other.secrets).chain(&config.common_secret).cloned();
        Some(Arc::new(Route {
            name: handler.name.clone(),
            kind,
            enabled: handler.enabled,
            masker: Masker::new(provider.signature_headers(), hidden.collect()),
            provider,
            secrets,
            events: handler.events.clone(),
            response_type: handler.response_type,
            allowed: handler.allowed_ips.clone(),
            limiter: admission.limiter_for(handler.rate_limit, clock),
            allow_unsigned: handler.allow_unsigned,
        }))
    }
}

/// Where a handler is served: at its own path, else under the three prefixes.
pub fn paths(handler: &Handler) -> Vec<String> {
    handler.paths()
}

/// `generic` as a handler: the common secret, and the signatures of `custom`.
fn generic_handler(config: &Webhooks) -> Handler {
    Handler {
        name: GENERIC.parse().expect("letters only"),
        enabled: true,
        provider: Some(PROVIDER_DEFAULT.to_owned()),
        path: None,
        secrets: Vec::new(),
        events: Vec::new(),
        response_type: ResponseType::Json,
        allowed_ips: Vec::new(),
        rate_limit: None,
        allow_unsigned: config.allow_unsigned,
        notify: crate::config::Notify::Nobody,
        summarize: crate::config::Summarize::Nothing,
    }
}
