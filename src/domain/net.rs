//! Addresses: ranges that admit, the client behind proxies, and the key that limits are counted under.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A range of addresses. A bare address is exactly one address; IPv4-mapped IPv6 is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

/// A text that is no address and no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither an address nor a range: write 192.0.2.7, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/32")]
pub struct CidrError(String);

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let fault = || CidrError(text.chars().take(80).collect());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let net = text.parse::<IpNet>().map_err(|_| fault())?;
        match (net.addr().to_canonical(), net) {
            (IpAddr::V4(v4), IpNet::V6(mapped)) => {
                let prefix = mapped.prefix_len().checked_sub(96).ok_or_else(fault)?;
                IpNet::new(IpAddr::V4(v4), prefix).map(|net| Self(net.trunc())).map_err(|_| fault())
            }
            _ => Ok(Self(net.trunc())),
        }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Cidr {
    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Length of the IPv6 prefix that counts as one client: a customer's network usually has a /64, and often more.
pub const CLIENT_PREFIX_V6_BITS: u8 = 64;

/// The key that one client's requests are counted under: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    /// The key of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) => Self(v4),
            IpAddr::V6(v6) => {
                let host_bits = 128 - u32::from(CLIENT_PREFIX_V6_BITS);
                Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> host_bits << host_bits)))
            }
        }
    }
}

/// The header in which proxies say who connected to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingStyle {
    /// `X-Forwarded-For`: addresses, separated by commas.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): `for=` pairs within elements, separated by commas.
    Forwarded,
}

/// The client of a request that came from `peer`.
///
/// A peer outside `trusted` is the client, whatever it claims. Behind a trusted one the hops are read from the right,
/// because only what our own proxies appended is true: the first that is not trusted is the client. A hop that cannot be
/// read ends the walk at the last trusted one, so that nothing left of it is ever believed. `lines` are the values of the
/// configured header in the order in which they came.
pub fn client_address<'a, L>(peer: IpAddr, trusted: &[Cidr], style: ForwardingStyle, lines: L) -> IpAddr
where
    L: IntoIterator<Item = &'a [u8]>,
    L::IntoIter: DoubleEndedIterator,
{
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for line in lines.into_iter().rev() {
        let mut rest = line;
        while let Some((left, hop)) = split_last_hop(rest, style) {
            rest = left;
            if hop.is_empty() {
                continue;
            }
            match read_hop(hop, style) {
                Some(address) if is_trusted(address) => client = address,
                Some(address) => return address,
                None => return client,
            }
        }
    }
    client
}

/// Cuts the last element off a list. Reading from the right means that a quote which a client left open cannot swallow
/// what a proxy appended after it.
fn split_last_hop(line: &[u8], style: ForwardingStyle) -> Option<(&[u8], &[u8])> {
    if line.is_empty() {
        return None;
    }
    let mut quoted = false;
    for at in (0..line.len()).rev() {
        match line[at] {
            b'"' if style == ForwardingStyle::Forwarded && !is_escaped(line, at) => quoted = !quoted,
            b',' if !quoted => return Some((&line[..at], line[at + 1..].trim_ascii())),
            _ => {}
        }
    }
    Some((&[], line.trim_ascii()))
}

/// Whether the character at `at` stands behind an odd number of backslashes: in `"a\\"` the second quote ends the text.
fn is_escaped(line: &[u8], at: usize) -> bool {
    line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn read_hop(hop: &[u8], style: ForwardingStyle) -> Option<IpAddr> {
    match style {
        ForwardingStyle::XForwardedFor => read_node(std::str::from_utf8(hop).ok()?),
        ForwardingStyle::Forwarded => read_element(hop),
    }
}

/// The `for` of one element. Proxies copy what the client chose (`host`) into quoted texts, so a `;` in one separates nothing;
/// an element with two `for`, or with a quote left open, says nothing that could be believed.
fn read_element(element: &[u8]) -> Option<IpAddr> {
    let mut quoted = false;
    let separates = |(at, byte): (usize, &u8)| {
        if *byte == b'"' && !is_escaped(element, at) {
            quoted = !quoted;
        }
        (*byte == b';' && !quoted).then_some(at)
    };
    let ends: Vec<usize> = element.iter().enumerate().filter_map(separates).chain([element.len()]).collect();
    if quoted {
        return None;
    }
    let (mut start, mut found) = (0, None);
    for end in ends {
        let pair = &element[start..end];
        start = end + 1;
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if pair[..equals].trim_ascii().eq_ignore_ascii_case(b"for")
            && found.replace(pair[equals + 1..].trim_ascii()).is_some()
        {
            return None;
        }
    }
    read_node(std::str::from_utf8(found?).ok()?)
}

/// Reads `192.0.2.7`, `192.0.2.7:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`, quoted or not.
fn read_node(text: &str) -> Option<IpAddr> {
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_reads = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_reads.then(|| address.parse::<Ipv6Addr>().ok())?.map(|v6| IpAddr::V6(v6).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.rsplit_once(':')?;
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok().map(IpAddr::V4))?
}

/// A port, or an obfuscated one (`_p4`, RFC 7239 section 6.3).
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
        || (text.len() > 1
            && text.starts_with('_')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn ranges(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().expect("a range")).collect()
    }

    #[test]
    fn a_bare_address_is_exactly_one_address_and_mapped_ones_are_v4() {
        let table = [
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::2", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ];
        for (range, address, admitted) in table {
            assert_eq!(range.parse::<Cidr>().expect("a range").contains(ip(address)), admitted, "{range} {address}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/64", "localhost"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_v6_client_is_its_network_and_a_v4_client_its_address() {
        assert_eq!(ClientKey::of(ip("2001:db8:0:1::1")), ClientKey::of(ip("2001:db8:0:1:ffff:ffff:ffff:ffff")));
        assert_ne!(ClientKey::of(ip("2001:db8:0:1::1")), ClientKey::of(ip("2001:db8:0:2::1")));
        assert_ne!(ClientKey::of(ip("192.0.2.1")), ClientKey::of(ip("192.0.2.2")));
        assert_eq!(ClientKey::of(ip("192.0.2.1")), ClientKey::of(ip("::ffff:192.0.2.1")));
    }

    #[derive(serde::Deserialize)]
    struct Table {
        trusted: Vec<String>,
        x_forwarded_for: Vec<Row>,
        forwarded: Vec<Row>,
    }

    #[derive(serde::Deserialize)]
    struct Row {
        peer: IpAddr,
        lines: Vec<String>,
        client: IpAddr,
    }

    /// The table that `agent prove` has.
    fn table() -> Table {
        serde_yaml::from_str(include_str!("../prove/tables/forwarded.yaml")).expect("a table")
    }

    fn check(trusted: &[String], style: ForwardingStyle, rows: &[Row]) {
        assert!(rows.len() >= 10, "the table is there");
        let trusted: Vec<Cidr> = trusted.iter().map(|range| range.parse().expect("a range")).collect();
        for Row { peer, lines, client } in rows {
            let read = client_address(*peer, &trusted, style, lines.iter().map(String::as_bytes));
            assert_eq!(read, *client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_through_trusted_hops_only() {
        let table = table();
        check(&table.trusted, ForwardingStyle::XForwardedFor, &table.x_forwarded_for);
    }

    #[test]
    fn forwarded_is_read_with_quotes_parameters_and_an_open_quote_that_cannot_hide_a_hop() {
        let table = table();
        check(&table.trusted, ForwardingStyle::Forwarded, &table.forwarded);
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_the_hop_its_proxy_appended_wins(
            claimed in proptest::collection::vec(any::<u8>(), 0..80),
            client in any::<u32>(),
            use_forwarded in any::<bool>(),
        ) {
            let client = IpAddr::V4(Ipv4Addr::from_bits(client));
            let trusted = ranges(&["10.0.0.0/8"]);
            prop_assume!(!trusted[0].contains(client));
            let (style, appended) = if use_forwarded {
                (ForwardingStyle::Forwarded, format!(", for={client}"))
            } else {
                (ForwardingStyle::XForwardedFor, format!(", {client}"))
            };
            let mut line = claimed;
            line.extend_from_slice(appended.as_bytes());
            prop_assert_eq!(client_address(ip("10.0.0.1"), &trusted, style, [line.as_slice()]), client);
        }
    }
}
