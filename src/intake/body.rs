//! Reads a request's body: counted, within one total time, and without a copy when it comes in one piece.
//!
//! warp limits neither the size nor the time of a body, and hyper has no time-out for one; both bounds are here. So is the one
//! on all bodies together: large ones on many connections, from senders that nobody has verified yet, must not fill the memory.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{FutureExt, Stream, StreamExt};

use super::limits::{BODY_FIRST_ALLOCATION_BYTES, BODY_PREFIX_BYTES};

/// A body on its way in, and whether its end was seen.
#[derive(Debug)]
pub struct Incoming<S> {
    stream: S,
    finished: bool,
    begun: bool,
}

/// Why a body was not read to its end, with what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFault {
    /// What happened.
    pub kind: BodyFaultKind,
    /// The first bytes.
    pub prefix: Bytes,
    /// How many bytes were read.
    pub read: u64,
}

/// What can happen to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFaultKind {
    /// It is over the limit.
    TooLarge,
    /// It was not there in time.
    TooSlow,
    /// The connection ended first, or its framing is broken.
    Broken,
    /// The other requests in hand leave no room for it.
    NoRoom,
}

/// The room for the bodies of all requests in hand, in bytes.
#[derive(Debug)]
pub struct Room {
    free: AtomicUsize,
}

/// What one request holds of it. Dropping gives it back.
#[derive(Debug)]
pub struct Share<'r> {
    room: &'r Room,
    held: usize,
}

impl Room {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self { free: AtomicUsize::new(bytes) }
    }

    /// An empty share.
    pub fn share(&self) -> Share<'_> {
        Share { room: self, held: 0 }
    }
}

impl Share<'_> {
    /// Takes `bytes` more; `false` when they are not there.
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self.room.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(bytes)).is_ok();
        self.held += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.held, Relaxed);
    }
}

impl<S, B, E> Incoming<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: Buf,
{
    /// Wraps a stream of which nothing was read.
    pub fn new(stream: S) -> Self {
        Self { stream, finished: false, begun: false }
    }

    /// Whether anything was asked of the stream; before that, a client that expects `100 Continue` has sent nothing.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Reads the whole body, which `share` holds the room for.
    ///
    /// # Errors
    /// When it is larger than `limit` bytes (a `declared` length that is, is not even begun), not there within `time`, or broken;
    /// when there is no room.
    pub async fn read(
        &mut self,
        declared: Option<u64>,
        limit: usize,
        time: Duration,
        share: &mut Share<'_>,
    ) -> Result<Bytes, BodyFault> {
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(BodyFault { kind: BodyFaultKind::TooLarge, prefix: Bytes::new(), read: 0 });
        }
        let mut kept = Kept::default();
        let ended = within(time, self.collect(&mut kept, declared, limit, share)).await;
        match ended.unwrap_or(Err(BodyFaultKind::TooSlow)) {
            Ok(()) => Ok(kept.into_bytes()),
            Err(kind) => {
                let (read, body) = (kept.len() as u64, kept.into_bytes());
                Err(BodyFault { kind, prefix: body.slice(..body.len().min(BODY_PREFIX_BYTES * 2)), read })
            }
        }
    }

    async fn collect(
        &mut self,
        kept: &mut Kept,
        declared: Option<u64>,
        limit: usize,
        share: &mut Share<'_>,
    ) -> Result<(), BodyFaultKind> {
        self.begun = true;
        while let Some(piece) = self.stream.next().await {
            let mut piece = piece.map_err(|_| BodyFaultKind::Broken)?;
            if kept.len() + piece.remaining() > limit {
                return Err(BodyFaultKind::TooLarge);
            }
            if !share.take(piece.remaining()) {
                return Err(BodyFaultKind::NoRoom);
            }
            // Free of a copy: the piece is `Bytes` beneath.
            kept.push(piece.copy_to_bytes(piece.remaining()), declared);
        }
        self.finished = true;
        Ok(())
    }

    /// Reads away what is left, up to `bytes`. `true` when the end was reached.
    pub async fn drain(&mut self, mut bytes: usize) -> bool {
        self.begun = true;
        while !self.finished {
            match self.stream.next().await {
                None => self.finished = true,
                Some(Ok(piece)) if piece.remaining() <= bytes => bytes -= piece.remaining(),
                Some(_) => return false,
            }
        }
        true
    }
}

/// Runs `work` with a time-out; one that is done at once (the body was there with the head) sets no timer.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    match work.as_mut().now_or_never() {
        Some(done) => Some(done),
        None => tokio::time::timeout(time, work).await.ok(),
    }
}

/// The pieces so far: the only one as it came, or all of them joined.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    One(Bytes),
    Joined(BytesMut),
}

impl Kept {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Joined(pieces) => pieces.len(),
        }
    }

    fn push(&mut self, piece: Bytes, declared: Option<u64>) {
        if piece.is_empty() {
            return;
        }
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let hint = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                let size = hint.min(BODY_FIRST_ALLOCATION_BYTES).max(first.len() + piece.len());
                let mut joined = BytesMut::with_capacity(size);
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
            Self::Joined(mut joined) => {
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(piece) => piece,
            Self::Joined(pieces) => pieces.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pieces(texts: &[&'static str]) -> Incoming<impl Stream<Item = Result<Bytes, ()>> + Unpin> {
        Incoming::new(stream::iter(
            texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect::<Vec<_>>(),
        ))
    }

    #[tokio::test]
    async fn bodies_share_one_room_and_give_it_back() {
        let room = Room::new(5);
        let mut first = room.share();
        assert!(pieces(&["abc"]).read(None, 9, LONG, &mut first).await.is_ok());
        let fault = pieces(&["d", "ef"]).read(None, 9, LONG, &mut room.share()).await.expect_err("2 are free");
        assert_eq!((fault.kind, fault.read), (BodyFaultKind::NoRoom, 1));
        assert!(pieces(&["de"]).read(None, 9, LONG, &mut room.share()).await.is_ok(), "the refused one holds nothing");
        drop(first);
        assert!(pieces(&["abcde"]).read(None, 9, LONG, &mut room.share()).await.is_ok());
    }

    #[tokio::test]
    async fn one_piece_is_not_copied_and_several_are_joined() {
        let room = Room::new(100);
        let only = Bytes::from_static(b"{\"a\":1}");
        let mut body = Incoming::new(stream::iter([Ok::<_, ()>(only.clone())]));
        let read = body.read(None, 7, LONG, &mut room.share()).await.expect("within the limit");
        assert_eq!(read.as_ptr(), only.as_ptr());
        assert_eq!(
            pieces(&["ab", "", "cd", "e"]).read(None, 5, LONG, &mut room.share()).await,
            Ok(Bytes::from_static(b"abcde"))
        );
    }

    #[tokio::test]
    async fn the_limit_counts_declared_and_undeclared_bodies_to_the_byte() {
        let room = Room::new(100);
        let fault = pieces(&["abc", "def"]).read(None, 5, LONG, &mut room.share()).await.expect_err("6 bytes");
        assert_eq!((fault.kind, fault.prefix, fault.read), (BodyFaultKind::TooLarge, Bytes::from_static(b"abc"), 3));
        let mut declared = pieces(&["abcdef"]);
        assert_eq!(declared.read(Some(6), 5, LONG, &mut room.share()).await.map_err(|f| f.read), Err(0));
        assert!(!declared.is_begun(), "a length that is known to be too large is not read");
        assert!(declared.drain(6).await && !pieces(&["abcdef"]).drain(5).await);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_too_slow() {
        let room = Room::new(100);
        let stream = stream::iter([Ok::<_, ()>(Bytes::from_static(b"abc"))]).chain(stream::pending());
        let fault = Incoming::new(stream)
            .read(None, 9, Duration::from_millis(1), &mut room.share())
            .await
            .expect_err("pending");
        assert_eq!((fault.kind, fault.read), (BodyFaultKind::TooSlow, 3));
    }
}
