//! HTTP requests that go out: the operator's own, and those of tools, which a guard watches.
//!
//! Everything that leaves over HTTP but Telegram leaves here. Two clients for two purposes: [`OperatorClient`] goes where the
//! operator points it; [`GuardedClient`] goes only to addresses that `domain::reach` admits. What the requests are for,
//! whether they are repeated and what an answer means is not decided here.

mod connect;
mod guarded;
mod operator;
mod otlp;
mod redirect;
mod resolve;
mod target;

pub use guarded::{
    ANSWER_BYTES_MAX, CertificateError, Follow, GuardedAnswer, GuardedClient, GuardedOptions, GuardedRequest, Limits,
    SendError,
};
pub use operator::{Answer, OperatorClient, OutboundError, date};
pub use otlp::{Collector, CollectorSettings};
pub use redirect::REDIRECTS_MAX;
pub use resolve::{Resolver, SystemResolver};
pub use target::{Target, TargetError, URL_BYTES_MAX, climbs};

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
