//! The local API's accept loop: few connections, HTTP/1.1, bounded in number and time.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::lifecycle::Shutdown;

/// Connections at one time.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must be there within this; also how long a connection may idle.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` on `listener` until `shutdown`, and ends once every connection has.
pub async fn serve(listener: &TcpListener, routes: BoxedFilter<(Response,)>, shutdown: Shutdown) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let service = warp::service(routes);
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
            () = shutdown.stopping() => break,
        };
        let (Ok(place), Ok((stream, _peer))) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, shutdown) = (TowerToHyperService::new(service.clone()), shutdown.clone());
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT_MAX)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // A client that breaks off harms itself only.
                _ended = connection.as_mut() => {}
                () = shutdown.stopping() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ended = connection.as_mut() => {}
                        () = tokio::time::sleep(HEAD_WAIT_MAX) => {}
                        () = shutdown.stopped() => {}
                    }
                }
            }
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}
