//! HTTP by hand: a client that writes exactly the bytes it is told, as slowly as it is told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// One connection.
#[derive(Debug)]
pub struct Conn<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {}", self.text()))
    }

    /// The code of a refusal, else the status of an answer.
    pub fn word(&self) -> String {
        let json = self.json();
        let word = if json["error"].is_null() { &json["status"] } else { &json["error"]["code"] };
        word.as_str().expect("a word").to_owned()
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn post(path: &str, body: impl AsRef<[u8]>) -> Self {
        let mut request = Self::new("POST", path);
        request.body = body.as_ref().to_vec();
        request
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.push((name.into(), value.as_ref().into()));
        self
    }

    /// The same request without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    /// The same request with another body.
    pub fn with_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Signs the body as GitHub does.
    pub fn signed(self, secret: &str) -> Self {
        let signature = sign(secret, &self.body);
        self.header("x-hub-signature-256", signature)
    }

    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: test\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The same request with its body in chunks of `size` bytes.
    pub fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in self.body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    pub async fn send(&self, to: SocketAddr) -> Reply {
        let mut conn = Conn::open(to).await;
        conn.write(&self.bytes()).await;
        conn.reply().await
    }
}

/// `sha256=` and the HMAC in hex.
pub fn sign(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", mac(secret, body))
}

/// The HMAC-SHA256 in hex.
pub fn mac(secret: &str, content: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(content);
    hex::encode(mac.finalize().into_bytes())
}

impl Conn {
    pub async fn open(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("connected"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
        self.stream.flush().await.expect("flushed");
    }

    /// Writes what the server may not want to read any more.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub async fn finish_writing(&mut self) {
        self.stream.shutdown().await.expect("shut down");
    }

    /// Reads one answer (not one to HEAD).
    pub async fn reply(&mut self) -> Reply {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.fill().await,
                "the connection ended before an answer: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head = String::from_utf8(self.unread.drain(..head_end + 4).collect()).expect("text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status: status.expect("a status"), headers, body: Vec::new() };
        let length: usize = reply.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        while self.unread.len() < length {
            assert!(self.fill().await, "the connection ended within an answer");
        }
        reply.body = self.unread.drain(..length).collect();
        reply
    }

    /// Reads until `text` has come; everything up to its end.
    pub async fn read_to(&mut self, text: &str) -> String {
        loop {
            let at = self.unread.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = at {
                let read = self.unread.drain(..at + text.len()).collect();
                return String::from_utf8(read).expect("text");
            }
            assert!(self.fill().await, "the connection ended before {text:?}");
        }
    }

    /// Reads until the server closes; `true` when nothing more came.
    pub async fn is_closed(&mut self) -> bool {
        while self.fill().await {}
        self.unread.is_empty()
    }

    /// Returns once the server has closed, whatever it sent before.
    pub async fn ends(&mut self) -> bool {
        while self.fill().await {}
        true
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // A reset is an end too.
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.unread.extend(&buffer[..read]);
        read > 0
    }
}

/// A TLS connection that trusts the certificate in `cert` and offers `alpn`.
pub async fn tls(to: SocketAddr, cert: &Path, alpn: &str) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(cert).expect("a file") {
        roots.add(cert.expect("a certificate")).expect("added");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(to).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}
