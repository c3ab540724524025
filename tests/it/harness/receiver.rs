//! The other side of outgoing requests: a server on loopback that writes exactly the bytes it is told, one script a
//! connection, and shows what it was sent.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::clock::patiently;

/// What it does with one connection.
#[derive(Debug, Clone)]
pub enum Script {
    /// Reads the request, writes these bytes and closes.
    Answer(Vec<u8>),
    /// Reads the request, then writes these bytes again and again until the other side goes.
    Endless(Vec<u8>, Vec<u8>),
    /// Reads the request and never answers.
    Silence,
}

/// `status` with a body of JSON.
pub fn json(status: u16, body: &str) -> Script {
    answer(status, &[("content-type", "application/json")], body)
}

/// `status` with headers and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Script {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    Script::Answer(format!("{text}\r\n{body}").into_bytes())
}

/// `status` that points to `location`.
pub fn redirect(status: u16, location: &str) -> Script {
    answer(status, &[("location", location)], "")
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// The server.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    /// The certificate's PEM, with TLS.
    pub certificate: String,
    received: mpsc::UnboundedReceiver<Received>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Plain HTTP; each script serves one connection, in order, and there are no others.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::serve(scripts.into_iter().collect(), None).await
    }

    /// HTTPS with a certificate of its own for `name`.
    pub async fn tls(name: &str, scripts: impl IntoIterator<Item = Script>) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![made.cert.der().clone()],
                PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key"),
            )
            .expect("they belong together");
        Self::serve(scripts.into_iter().collect(), Some((Arc::new(config), made.cert.pem()))).await
    }

    async fn serve(scripts: Vec<Script>, tls: Option<(Arc<rustls::ServerConfig>, String)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, received) = mpsc::unbounded_channel();
        let (config, certificate) = tls.map(|(config, pem)| (Some(config), pem)).unwrap_or_default();
        let task = tokio::spawn(async move {
            for script in scripts {
                let Ok((stream, _)) = listener.accept().await else { return };
                match &config {
                    None => act(stream, script, &sender).await,
                    Some(config) => {
                        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
                        // A client that does not trust the certificate goes here.
                        if let Ok(stream) = acceptor.accept(stream).await {
                            act(stream, script, &sender).await;
                        }
                    }
                }
            }
        });
        Self { address, certificate, received, task }
    }

    /// The next request.
    pub async fn next(&mut self) -> Received {
        patiently(self.received.recv()).await.expect("a request")
    }

    /// The requests that came and were not looked at.
    pub fn rest(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

async fn act<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: Script,
    sender: &mpsc::UnboundedSender<Received>,
) {
    let Some(request) = read(&mut stream).await else { return };
    // Nobody may be looking any more.
    let _ = sender.send(request);
    match script {
        Script::Answer(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Script::Endless(first, again) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&again).await.is_ok() {}
        }
        Script::Silence => {
            // Until the other side goes.
            let _ = stream.read(&mut [0; 1]).await;
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in text");
    let mut lines = head.split("\r\n");
    let mut first = lines.next().expect("a first line").split(' ');
    let (method, path) = (first.next().expect("a method").to_owned(), first.next().expect("a path").to_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let length =
        headers.get("content-length").map_or(0, |text| text.to_str().expect("text").parse().expect("a length"));
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { method, path, headers, body })
}
