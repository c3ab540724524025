//! The local API's accept loop: few connections, HTTP/1.1, bounded in number and time, in both directions: a client that
//! sends nothing or reads nothing loses its place.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};
use tokio_util::task::TaskTracker;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::lifecycle::Shutdown;

/// Connections at one time.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must be there within this; also how long a connection may idle.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer that waits for it.
const STALL_MAX: Duration = Duration::from_secs(20);
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
                .serve_connection(TokioIo::new(Bounded::new(stream)), service);
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

/// A stream whose writes fail once its reader took nothing for [`STALL_MAX`].
struct Bounded<IO> {
    io: IO,
    /// While a write waits: until when.
    until: Option<Pin<Box<Sleep>>>,
}

impl<IO> Bounded<IO> {
    fn new(io: IO) -> Self {
        Self { io, until: None }
    }

    /// What came of a write; one that waits for too long has failed.
    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        if until.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.until = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Bounded<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Bounded<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.bounded(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(context, parts);
        this.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_ends_the_connection_and_a_slow_one_does_not() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Bounded::new(near);
        near.write_all(b"12345678").await.expect("room");
        let begun = Instant::now();
        let stalled = near.write_all(b"9").await.expect_err("nobody reads");
        assert_eq!((stalled.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, STALL_MAX.as_secs()));

        let slow = async {
            for _ in 0..8 {
                sleep(STALL_MAX / 2).await;
                far.read_u8().await.expect("a byte");
            }
        };
        let (written, ()) = tokio::join!(near.write_all(b"abcdefgh"), slow);
        written.expect("each wait is short");
    }
}
