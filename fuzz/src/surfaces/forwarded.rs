//! `X-Forwarded-For` and `Forwarded`: whatever a client writes, what our proxy appended wins.
//!
//! Input: the first byte chooses the header, the first line is what a proxy copies from the client into `host`, each further
//! line is one header line.

use std::net::{IpAddr, Ipv4Addr};

use hookhand::domain::net::{Cidr, ForwardingStyle, client_address};

use super::first_line;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// Checks one input.
pub fn check(data: &[u8]) {
    let trusted: Vec<Cidr> =
        ["10.0.0.0/8", "fd00::/8", "192.0.2.1"].iter().map(|text| text.parse().expect("a range")).collect();
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let Some((first, rest)) = data.split_first() else { return };
    let style = if first % 2 == 0 { ForwardingStyle::XForwardedFor } else { ForwardingStyle::Forwarded };
    let (host, rest) = first_line(rest);
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();
    let read = |peer, lines: &[&[u8]]| client_address(peer, &trusted, style, lines.iter().copied());

    // From nobody we trust: it is the client, whatever it says.
    assert_eq!(read(STRANGER, &lines), STRANGER);
    assert_eq!(read(PROXY, &[]), PROXY);
    let client = read(PROXY, &lines);
    assert_eq!(client, client.to_canonical());

    // Nothing to the left of the client is read.
    if !is_trusted(client) {
        let before: &[u8] = if style == ForwardingStyle::Forwarded { b"for=6.6.6.6, " } else { b"6.6.6.6, " };
        let mut longer = lines.clone();
        let first = [before, lines[0]].concat();
        longer[0] = &first;
        assert_eq!(read(PROXY, &longer), client);
        longer.insert(0, before);
        assert_eq!(read(PROXY, &longer), client);
    }

    // What the proxy appended wins: to the last line, or as a line of its own, with one more proxy of ours after it or not.
    for element in appended(style, host) {
        for after in ["", ", 10.0.0.2", ", fd00::1"] {
            let after = match (style, after) {
                (ForwardingStyle::Forwarded, ", 10.0.0.2") => ", for=10.0.0.2;by=\"a,;\\\"b\"",
                (ForwardingStyle::Forwarded, ", fd00::1") => ", For=\"[fd00::1]:443\"",
                (ForwardingStyle::Forwarded | ForwardingStyle::XForwardedFor, as_it_is) => as_it_is,
            };
            let own = [element.as_slice(), after.as_bytes()].concat();
            let last = [lines.last().copied().unwrap_or_default(), b", ", &own].concat();
            let mut joined = lines.clone();
            joined.pop();
            joined.push(&last);
            assert_eq!(read(PROXY, &joined), CLIENT, "{}", String::from_utf8_lossy(&last));
            let mut apart = lines.clone();
            apart.push(&own);
            assert_eq!(read(PROXY, &apart), CLIENT, "{}", String::from_utf8_lossy(&own));
        }
    }
}

/// What proxies write for [`CLIENT`]. Some copy the `Host` of the request, which the client chose, into a quoted text.
fn appended(style: ForwardingStyle, host: &[u8]) -> Vec<Vec<u8>> {
    match style {
        ForwardingStyle::XForwardedFor => vec![b"198.51.100.7".to_vec(), b"198.51.100.7:4711".to_vec()],
        ForwardingStyle::Forwarded => {
            let mut quoted = Vec::new();
            for byte in host {
                if matches!(byte, b'"' | b'\\') {
                    quoted.push(b'\\');
                }
                quoted.push(*byte);
            }
            vec![
                b"for=198.51.100.7".to_vec(),
                [b"for=198.51.100.7;host=\"", quoted.as_slice(), b"\";proto=https"].concat(),
                [b"host=\"", quoted.as_slice(), b"\";for=\"198.51.100.7:80\""].concat(),
            ]
        }
    }
}
