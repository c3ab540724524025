//! The server's certificate: read from PEM files, told apart when it is wrong, and replaced while the server runs.
//!
//! The pair in use sits behind one atomic pointer that each handshake reads, so a reload drops no connection. A bad edit
//! keeps the last good pair. Files are polled by their metadata: it works on every file system, through the links that
//! certbot and Kubernetes use, and needs no watcher.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::limits::{CERTIFICATE_POLL, PEM_BYTES_MAX};
use crate::config::Tls;
use crate::lifecycle::Shutdown;
use crate::ports::Clock;

/// Why a certificate cannot be used. Names files, never what is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error("webhooks.ssl.{key}: cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// `cert` or `key`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// A file holds nothing of the kind.
    #[error("webhooks.ssl.{key}: there is no {what} in {path} (it must be PEM)", path = path.display())]
    Absent {
        /// `cert` or `key`.
        key: &'static str,
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's.
    #[error("webhooks.ssl: the key in {key} does not belong to the certificate in {cert}", key = key.display(), cert = cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The pair is well formed and cannot be used.
    #[error("webhooks.ssl: the certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// The certificate in use.
#[derive(Debug)]
pub struct CertStore {
    files: Tls,
    current: ArcSwap<CertifiedKey>,
}

impl CertStore {
    /// Reads the pair.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn load(files: Tls) -> Result<Arc<Self>, TlsFault> {
        let pair = read_pair(&files)?;
        Ok(Arc::new(Self { files, current: ArcSwap::from_pointee(pair) }))
    }

    /// The TLS side of the listener: HTTP/2 and HTTP/1.1 by ALPN, TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When the cryptography provider supports no version, which a build cannot have.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsFault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|fault| TlsFault::Unusable(fault.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Looks at the files until the process stops, and takes a changed pair into use when it is good.
    pub async fn watch(&self, clock: &dyn Clock, shutdown: &Shutdown) {
        // Not the state at the load but none: an edit between the load and the first look must not be missed.
        let mut seen = None;
        loop {
            let now = (fingerprint(&self.files.cert).await, fingerprint(&self.files.key).await);
            if seen.as_ref() != Some(&now) {
                self.reload().await;
                seen = Some(now);
            }
            tokio::select! {
                () = clock.sleep(CERTIFICATE_POLL) => {}
                () = shutdown.stopping() => return,
            }
        }
    }

    async fn reload(&self) {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || read_pair(&files)).await;
        match read {
            Ok(Ok(pair)) if pair.cert == self.current.load().cert => {}
            Ok(Ok(pair)) => {
                self.current.store(Arc::new(pair));
                tracing::info!(cert = %self.files.cert.display(), "the new certificate is in use");
            }
            Ok(Err(fault)) => {
                tracing::error!(error = %fault, "the changed certificate is bad, the last good one stays in use");
            }
            Err(_) => {} // The runtime is going down.
        }
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// What changes when a file does: device, inode, length, time of modification and of the inode's change.
type Fingerprint = Option<(u64, u64, u64, i64, i64, i64, i64)>;

async fn fingerprint(path: &Path) -> Fingerprint {
    let data = tokio::fs::metadata(path).await.ok()?;
    Some((data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()))
}

/// The server's own certificate, DER, once the pair has been found good; for `agent doctor`.
///
/// # Errors
/// What keeps the pair from being used.
pub fn certificate(files: &Tls) -> Result<Vec<u8>, TlsFault> {
    let pair = read_pair(files)?;
    Ok(pair.cert.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
}

fn read_pair(files: &Tls) -> Result<CertifiedKey, TlsFault> {
    let absent = |key, what, path: &Path| TlsFault::Absent { key, what, path: path.to_owned() };
    let chain = read_file("cert", &files.cert)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| absent("cert", "readable certificate", &files.cert))?;
    if chain.is_empty() {
        return Err(absent("cert", "certificate", &files.cert));
    }
    let key = PrivateKeyDer::from_pem_slice(&read_file("key", &files.key)?)
        .map_err(|_| absent("key", "private key", &files.key))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|fault| match fault {
        rustls::Error::InconsistentKeys(_) => TlsFault::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        other => TlsFault::Unusable(other.to_string()),
    })
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsFault> {
    let unreadable = |error: String| TlsFault::Unreadable { key, path: path.to_owned(), error };
    let size = std::fs::metadata(path).map_err(|fault| unreadable(fault.to_string()))?.len();
    if size > PEM_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {PEM_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|fault| unreadable(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_pair_is_told_apart_and_names_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(file("cert"), made.cert.pem()).expect("written");
        std::fs::write(file("key"), made.signing_key.serialize_pem()).expect("written");
        std::fs::write(file("other"), other.signing_key.serialize_pem()).expect("written");
        std::fs::write(file("empty"), "").expect("written");
        let says = |cert: &str, key: &str| match read_pair(&Tls { cert: file(cert), key: file(key) }) {
            Ok(_) => "good".to_owned(),
            Err(fault) => fault.to_string().replace(&format!("{}/", folder.path().display()), ""),
        };
        assert_eq!(says("cert", "key"), "good");
        assert_eq!(says("none", "key"), "webhooks.ssl.cert: cannot read none: No such file or directory (os error 2)");
        assert_eq!(says("empty", "key"), "webhooks.ssl.cert: there is no certificate in empty (it must be PEM)");
        assert_eq!(says("cert", "cert"), "webhooks.ssl.key: there is no private key in cert (it must be PEM)");
        assert_eq!(says("cert", "other"), "webhooks.ssl: the key in other does not belong to the certificate in cert");
    }
}
