//! The servers that the bench compares. Each prints its address, serves until its standard input closes, and ends.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use governor::{DefaultKeyedRateLimiter, Quota};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sha2::Sha256;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use warp::{Filter, Reply};

use super::{Kind, load};
use crate::app::{Agent, Deps};
use crate::cli::{context, out};
use crate::config::LoadOptions;
use crate::domain::net::Cidr;
use crate::lifecycle::Shutdown;

/// Where the load goes.
pub(super) const PATH: &str = "/webhooks/github";

pub(super) fn serve(kind: Kind) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match kind {
            Kind::Bare => plain(bare()).await,
            Kind::Checked => plain(checked()?).await,
            Kind::Full => full().await,
        }
    })
}

async fn until_closed() {
    let mut rest = Vec::new();
    // An error is as good as the end: whoever held the pipe is gone.
    let _gone = tokio::io::stdin().read_to_end(&mut rest).await;
}

fn bare() -> warp::filters::BoxedFilter<(warp::reply::Response,)> {
    warp::path!("webhooks" / "github")
        .and(warp::post())
        .and(warp::body::bytes())
        .map(|_body: Bytes| warp::reply::json(&serde_json::json!({ "status": "accepted" })).into_response())
        .boxed()
}

/// The checks alone, written as plainly as they can be: what they cost at the least.
fn checked() -> anyhow::Result<warp::filters::BoxedFilter<(warp::reply::Response,)>> {
    let quota = Quota::per_second(NonZeroU32::MAX);
    let limiter: Arc<DefaultKeyedRateLimiter<IpAddr>> = Arc::new(DefaultKeyedRateLimiter::keyed(quota));
    let allowed: Vec<Cidr> = vec!["127.0.0.0/8".parse()?];
    let mac = Hmac::<Sha256>::new_from_slice(load::SECRET.as_bytes()).context("any key is long enough")?;
    let check = move |headers: HeaderMap, body: Bytes| {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let admitted = allowed.iter().any(|range| range.contains(client)) && limiter.check_key(&client).is_ok();
        let signature = headers.get("x-hub-signature-256").and_then(|value| value.as_bytes().strip_prefix(b"sha256="));
        let expected = signature.and_then(|hex| hex::decode(hex).ok()).unwrap_or_default();
        let mut mac = mac.clone();
        mac.update(&body);
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        if admitted && mac.verify_slice(&expected).is_ok() && json.is_some() {
            warp::reply::json(&serde_json::json!({ "status": "accepted" })).into_response()
        } else {
            http::StatusCode::UNAUTHORIZED.into_response()
        }
    };
    Ok(warp::path!("webhooks" / "github")
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes())
        .map(check)
        .boxed())
}

async fn plain(filter: warp::filters::BoxedFilter<(warp::reply::Response,)>) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    out::line(listener.local_addr()?.to_string())?;
    let service = warp::service(filter);
    let accept = async {
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                // A client that goes away ends its connection, nothing more.
                let _closed =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
        #[allow(unreachable_code, reason = "gives the block its type")]
        Ok::<Infallible, std::io::Error>(unreachable!("the loop above ends by an error alone"))
    };
    tokio::select! {
        () = until_closed() => Ok(()),
        failed = accept => Err(failed.err().map_or_else(|| anyhow::anyhow!("the bench's server ended"), Into::into)),
    }
}

async fn full() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("hookhand-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = full_in(&dir).await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn full_in(dir: &std::path::Path) -> anyhow::Result<()> {
    std::fs::write(
        dir.join("config.yaml"),
        format!(
            "data_dir: data\nwebhooks:\n  port: 0\n  allowed_ips: [127.0.0.0/8]\n  \
             rate_limit: {{ max_requests: 1000000, window_seconds: 1 }}\n  \
             handlers:\n    github: {{ secret: {} }}\ndashboard: {{ enabled: false }}\n",
            load::SECRET
        ),
    )?;
    let options = LoadOptions {
        config: Some(dir.join("config.yaml")),
        webhooks: true,
        cwd: dir.to_owned(),
        ..LoadOptions::default()
    };
    let loaded = crate::config::load(&options, &BTreeMap::new());
    let config = context::accept(loaded)?.config;
    let shutdown = Shutdown::new();
    let deps = Deps::unattended(crate::cli::run::this_program()?);
    let agent = Agent::start(config, deps, shutdown.clone()).await?;
    let address: SocketAddr = agent.webhooks_address().context("the webhook server runs")?;
    out::line(address.to_string())?;
    until_closed().await;
    shutdown.stop_soon();
    // A load that ended leaves work in the queue; the figures are taken, so it need not be finished.
    let _rest = tokio::time::timeout(Duration::from_secs(3), agent.finish()).await;
    Ok(())
}
