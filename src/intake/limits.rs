//! The bounds of the webhook server, each with its unit. What a user may set is in the configuration; these are the rest.

use std::time::Duration;

/// Connections at one time, over all clients.
pub const CONNECTIONS_MAX: usize = 4096;

/// Connections at one time from one client (an IPv4 address, an IPv6 /64), unless it is a trusted proxy or loopback.
pub const CONNECTIONS_PER_CLIENT_MAX: u32 = 512;

/// Connections that the kernel holds ready before they are accepted.
pub const BACKLOG: u32 = 4096;

/// Request line and headers of one request, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header lines of one request.
pub const HEADERS_MAX: usize = 100;

/// HTTP/2 streams at one time on one connection.
pub const H2_STREAMS_MAX: u32 = 128;

/// HTTP/2 receive window of one stream, in bytes: what a stream may make us hold before it is read.
pub const H2_WINDOW_BYTES: u32 = 256 * 1024;

/// HTTP/2 receive window of one connection, in bytes.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// First bytes of a refused body that are kept.
pub const BODY_PREFIX_BYTES: usize = 2048;

/// Bytes of an unread body that are read away after an early answer, so that the client sees the answer and not a reset.
pub const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bodies beyond this are checked and parsed off the event loop, in bytes.
pub const BODY_INLINE_BYTES_MAX: usize = 256 * 1024;

/// Bodies of all requests in hand together, in bytes; what comes beyond is told to come again. The agent raises it to the
/// largest body that `max_body_bytes` admits.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// First allocation for a body that comes in several pieces, in bytes; a declared length buys no more than this.
pub const BODY_FIRST_ALLOCATION_BYTES: usize = 64 * 1024;

/// Values in a payload, at any depth. GitHub's largest payloads hold some ten thousand; parsed, one takes about 100 bytes.
pub const PAYLOAD_VALUES_MAX: usize = 1_000_000;

/// Fields of a form.
pub const FORM_FIELDS_MAX: usize = 10_000;

/// Longest event type that is kept, in bytes.
pub const EVENT_BYTES_MAX: usize = 256;

/// Longest delivery id that is shown, in bytes; the dedupe key is made of the whole.
pub const DELIVERY_ID_BYTES_MAX: usize = 256;

/// Longest header value that is kept, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 4096;

/// Unknown paths that are recorded in one second; scanners ask for thousands.
pub const UNKNOWN_PATHS_RECORDED_PER_SECOND: u32 = 5;

/// Requests over the rate limit that are recorded in one second.
pub const RATE_LIMITED_RECORDED_PER_SECOND: u32 = 100;

/// Clients that one rate limiter tracks; further ones share a bucket per shard.
pub const CLIENTS_TRACKED_MAX: usize = 65_536;

/// How long a workflow's route waits for its run when the sender does not say.
pub const WORKFLOW_WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// The longest that it waits; senders give up after ten seconds.
pub const WORKFLOW_WAIT_MAX: Duration = Duration::from_secs(8);

/// What a client is told to wait when the store cannot commit, in seconds.
pub const STORE_RETRY_AFTER_SECONDS: u64 = 5;

/// How long a sender is taken to wait for an answer when its manifest does not say.
pub const ANSWER_WITHIN_DEFAULT: Duration = Duration::from_secs(10);

/// What is left of a sender's patience for the way of the answer.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// Refused signatures that are looked into in one second: a flood of forged requests must not cost more than its answers.
pub const DIAGNOSES_PER_SECOND: u32 = 4;

/// Bodies beyond this are not looked into, in bytes.
pub const DIAGNOSED_BODY_BYTES_MAX: usize = 256 * 1024;

/// How long `/health` answers from one look at the store.
pub const HEALTH_AGE_MAX: Duration = Duration::from_secs(1);

/// How long `/health` tells of a commit that failed, unless a later one succeeds. It ends by itself, because a balancer that
/// sends nothing to a degraded agent would never see it well again.
pub const HEALTH_FAILURE_TOLD: Duration = Duration::from_secs(30);

/// How often certificate files are looked at; a changed one is served within 5 s.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(2);

/// Largest certificate or key file, in bytes.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// First wait after `accept` failed (too many open files).
pub const ACCEPT_WAIT_MIN: Duration = Duration::from_millis(5);

/// Longest wait after `accept` failed.
pub const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

/// The time-outs and caps that tests set smaller. They run on the machine's timer, as hyper's own do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// A request head must be there within this; also how long an HTTP/1.1 connection may idle.
    pub head: Duration,
    /// A whole body must be there within this.
    pub body: Duration,
    /// A TLS handshake must end within this.
    pub handshake: Duration,
    /// An HTTP/2 connection without a request in flight is closed after this, at the latest after twice this.
    pub h2_idle: Duration,
    /// HTTP/2 pings go out this often, and must be answered as fast.
    pub h2_ping: Duration,
    /// How long an unread body is read away after an early answer.
    pub drain: Duration,
    /// A commit is given this long, however impatient the sender is and however slowly its body came.
    pub commit_min: Duration,
    /// Bytes of bodies of all requests in hand together.
    pub bodies_bytes: usize,
    /// Connections at one time.
    pub connections: usize,
    /// Connections at one time from one client.
    pub connections_per_client: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            h2_idle: Duration::from_secs(60),
            h2_ping: Duration::from_secs(20),
            drain: Duration::from_secs(3),
            commit_min: Duration::from_millis(500),
            bodies_bytes: BODIES_BYTES_MAX,
            connections: CONNECTIONS_MAX,
            connections_per_client: CONNECTIONS_PER_CLIENT_MAX,
        }
    }
}
