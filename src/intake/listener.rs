//! The accept loop: binds, caps connections, hands each to `connection`, and ends gracefully.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::limits::{ACCEPT_WAIT_MAX, ACCEPT_WAIT_MIN, BACKLOG};
use super::tls::{CertStore, TlsFault};
use super::{Intake, IntakeMetrics, connection};
use crate::domain::net::ClientKey;
use crate::lifecycle::Shutdown;

/// Why the server cannot listen, with the key to change.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error(
        "{0} is in use: stop what listens there, or set another webhooks.port (or --webhook-port; 0 takes a free one)"
    )]
    InUse(SocketAddr),
    /// The system does not allow it.
    #[error("no permission to listen on {0}: ports below 1024 need a privilege, set webhooks.port to 1024 or more")]
    Permission(SocketAddr),
    /// The address is not one of this machine's.
    #[error("{0} is no address of this machine: set webhooks.host to one, such as 127.0.0.1 or 0.0.0.0")]
    NoSuchAddress(IpAddr),
    /// Something else.
    #[error("cannot listen on {address} (webhooks.host, webhooks.port): {error}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    intake: Intake,
    certificates: Option<Arc<CertStore>>,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Binds the configured address and reads the certificate. To be called within a runtime.
    ///
    /// # Errors
    /// When it cannot listen, with a message that says what to change.
    pub fn bind(intake: Intake) -> Result<Self, BindError> {
        let config = &intake.0.config;
        let certificates = config.tls.clone().map(CertStore::load).transpose()?;
        let tls = certificates.as_ref().map(CertStore::server_config).transpose()?.map(Arc::new);
        let address = SocketAddr::new(config.host, config.port);
        let listener = listen(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::Permission(address),
            io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address.ip()),
            _ => BindError::Other { address, error },
        })?;
        let address = listener.local_addr().map_err(|error| BindError::Other { address, error })?;
        Ok(Self { listener, address, intake, certificates, tls })
    }

    /// Where it listens; the port is the one that was taken when the configuration says 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its counters.
    pub fn metrics(&self) -> Arc<IntakeMetrics> {
        self.intake.metrics()
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves until `shutdown`: then it accepts nothing new, answers what is in flight, closes what idles, and returns
    /// once every connection has ended. The hard stop cuts them.
    pub async fn run(self, shutdown: Shutdown) {
        let connections = TaskTracker::new();
        if let Some(certificates) = self.certificates.clone() {
            let (clock, shutdown) = (Arc::clone(&self.intake.0.clock), shutdown.clone());
            connections.spawn(async move { certificates.watch(&*clock, &shutdown).await });
        }
        let Self { listener, intake, tls, .. } = self;
        let acceptor = tls.map(TlsAcceptor::from);
        let permits = Arc::new(Semaphore::new(intake.0.limits.connections));
        let per_client = PerClient::new(intake.0.limits.connections_per_client);
        let mut wait = ACCEPT_WAIT_MIN;
        while let Some((permit, accepted)) = next(&listener, &permits, &shutdown).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    back_off(&error, &mut wait).await;
                    continue;
                }
            };
            wait = ACCEPT_WAIT_MIN;
            let Some(slot) = per_client.enter(peer.ip(), intake.0.admission.is_uncapped(peer.ip())) else {
                intake.0.metrics.connection_refused();
                continue;
            };
            let guard = Open::new(&intake, permit, slot);
            let (acceptor, intake, shutdown) = (acceptor.clone(), intake.clone(), shutdown.clone());
            connections.spawn(async move {
                connection::serve(stream, peer, acceptor, intake, shutdown).await;
                drop(guard);
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// A permit first and a connection then: at the cap the rest waits in the kernel's queue. `None` when the process stops.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>)> {
    tokio::select! {
        biased;
        () = shutdown.stopping() => None,
        next = async {
            let permit = Arc::clone(permits).acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        } => next,
    }
}

/// A client that went away between the kernel's accept and ours costs nothing; being out of files or memory needs time.
async fn back_off(error: &io::Error, wait: &mut Duration) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    tracing::error!(%error, wait_ms = wait.as_millis(), "connections cannot be accepted");
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(ACCEPT_WAIT_MAX);
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the process before to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections per client.
#[derive(Debug, Clone)]
struct PerClient {
    open: Arc<Mutex<HashMap<ClientKey, u32>>>,
    max: u32,
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
struct Slot {
    of: Option<(PerClient, ClientKey)>,
}

impl PerClient {
    fn new(max: u32) -> Self {
        Self { open: Arc::default(), max }
    }

    /// A place for one more connection of `peer`, or `None` when it has too many.
    fn enter(&self, peer: IpAddr, uncapped: bool) -> Option<Slot> {
        if uncapped {
            return Some(Slot { of: None });
        }
        let key = ClientKey::of(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Slot { of: Some((self.clone(), key)) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((clients, key)) = &self.of else { return };
        let mut open = clients.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(*key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What one open connection holds.
struct Open {
    intake: Intake,
    _permit: OwnedSemaphorePermit,
    _slot: Slot,
}

impl Open {
    fn new(intake: &Intake, permit: OwnedSemaphorePermit, slot: Slot) -> Self {
        intake.0.metrics.connection_opened();
        Self { intake: intake.clone(), _permit: permit, _slot: slot }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.intake.0.metrics.connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_gets_one_back_when_one_ends() {
        let clients = PerClient::new(2);
        let (peer, neighbour, other) = ("2001:db8::1", "2001:db8::2", "192.0.2.1");
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = clients.enter(ip(peer), false).expect("the first");
        let _second = clients.enter(ip(neighbour), false).expect("the second of this /64");
        assert!(clients.enter(ip(peer), false).is_none());
        assert!(clients.enter(ip(peer), true).is_some(), "a trusted proxy is not capped");
        assert!(clients.enter(ip(other), false).is_some());
        drop(first);
        assert!(clients.enter(ip(peer), false).is_some());
        assert_eq!(clients.open.lock().expect("not poisoned").len(), 1, "who is gone is forgotten");
    }
}
