//! From a host's name to its addresses, behind a trait so that tests decide what a name resolves to.
//!
//! It judges nothing: every address that comes out is checked by the caller, and connections go to the checked ones only.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;

/// Looks names up.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// Every address of `host`, in the order of preference.
    ///
    /// # Errors
    /// When there is none, or nobody knows.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver, with its hosts file and name servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut seen = BTreeSet::new();
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|socket| socket.ip()).filter(|address| seen.insert(*address)).collect())
    }
}
