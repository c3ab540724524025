//! Style, script and sign, embedded in the binary. Their address carries a hash of their bytes, so browsers keep them for good.

use std::sync::LazyLock;

use http::{HeaderValue, header};
use sha2::{Digest, Sha256};
use warp::reply::{Reply, Response};

/// Hex digits of a hash in an address.
const HASH_CHARS: usize = 12;

/// An embedded file.
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    hash: LazyLock<String>,
}

macro_rules! asset {
    ($name:ident, $file:literal, $content_type:literal) => {
        pub(super) static $name: Asset = Asset {
            path: concat!("/assets/", $file),
            content_type: $content_type,
            bytes: include_bytes!(concat!("../assets/", $file)),
            hash: LazyLock::new(|| hash(include_bytes!(concat!("../assets/", $file)))),
        };
    };
}

asset!(CSS, "app.css", "text/css; charset=utf-8");
asset!(JS, "app.js", "text/javascript; charset=utf-8");
asset!(ICON, "icon.svg", "image/svg+xml");

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes)).chars().take(HASH_CHARS).collect()
}

impl Asset {
    /// Where pages link to.
    pub(super) fn url(&self) -> String {
        format!("{}?v={}", self.path, *self.hash)
    }
}

/// The embedded file at `path`. It holds nothing of anybody's, so it needs no login.
pub(super) fn find(path: &str) -> Option<Response> {
    let asset = [&CSS, &JS, &ICON].into_iter().find(|asset| asset.path == path)?;
    let mut response = warp::reply::Response::new(asset.bytes.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Some(response.into_response())
}
