//! Where an outgoing request may go: what kind of address an address is, and what the operator lists as allowed.
//!
//! Pure. It opens no socket and asks no resolver; whoever does asks here about every address before connecting. An address
//! that no rule knows is refused: of IPv6 only the part that is handed out for global use (2000::/3) is public.
//! Ranges are those of IANA's special-purpose registries (RFC 6890 and its updates), and the addresses at which clouds
//! answer their machines with credentials.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::net::Cidr;

/// Longest host name, in bytes (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest part of a host name, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Handed out for global use.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918; IPv6 unique local and the old site-local).
    Private,
    /// Between a provider and its customers (100.64.0.0/10).
    SharedNat,
    /// This link only.
    LinkLocal,
    /// Where a cloud answers its machines, also with credentials.
    Metadata,
    /// No address, or "this network".
    Unspecified,
    /// Many at once.
    Multicast,
    /// Everybody on this link.
    Broadcast,
    /// For examples in texts.
    Documentation,
    /// For measurements between devices.
    Benchmarking,
    /// A way through a translator or tunnel to the IPv4 address inside (NAT64, 6to4, Teredo, IPv4-compatible).
    Translated(Ipv4Addr),
    /// Set aside for something else, or not handed out at all.
    Reserved,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::SharedNat => "shared (carrier-grade NAT)",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Translated(_) => "translated",
            Self::Reserved => "reserved",
        })
    }
}

/// Addresses at which clouds answer their own machines: AWS, Google, Azure and others; AWS ECS; Azure's wire server;
/// Alibaba; Oracle. Then AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// IPv4 ranges that are not public: first address, prefix length, kind. The first that fits counts.
const RANGES_V4: &[(Ipv4Addr, u32, Reach)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reach::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::SharedNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Reach::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, Reach::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Reach::Reserved),
];

/// IPv6 ranges within 2000::/3 that are not public, and those outside it that have a name of their own.
const RANGES_V6: &[(Ipv6Addr, u32, Reach)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Reach::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Reach::Loopback),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Reach::Benchmarking),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Reach::Reserved),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Reach::Documentation),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Reach::Documentation),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Reach::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Reach::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Reach::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Reach::Multicast),
];

impl Reach {
    /// The kind of `address`. An IPv4-mapped IPv6 address is its IPv4 address, because that is where a connection goes.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA_V4.contains(&address) {
            return Self::Metadata;
        }
        let within = |first: Ipv4Addr, length: u32| (address.to_bits() ^ first.to_bits()).leading_zeros() >= length;
        let range = RANGES_V4.iter().find(|(first, length, _)| within(*first, *length));
        range.map_or(Self::Public, |(_, _, reach)| *reach)
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.contains(&address) {
            return Self::Metadata;
        }
        let within = |first: Ipv6Addr, length: u32| (address.to_bits() ^ first.to_bits()).leading_zeros() >= length;
        // Translations before ranges (Teredo lies in 2001::/23), but :: and ::1 before IPv4-compatible addresses.
        let alone = address.is_unspecified() || address.is_loopback();
        if let Some(inside) = translated(address).filter(|_| !alone) {
            return Self::Translated(inside);
        }
        if let Some((_, _, reach)) = RANGES_V6.iter().find(|(first, length, _)| within(*first, *length)) {
            return *reach;
        }
        let global = within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
        if global { Self::Public } else { Self::Reserved }
    }
}

/// The IPv4 address that a translator or tunnel would send this address's packets to.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // IPv4-compatible, ::a.b.c.d, and IPv4-translated, ::ffff:0:a.b.c.d (RFC 2765).
        [0, 0, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] => v4(a, b),
        // NAT64: the well-known prefix, and 64:ff9b:1::/48 for local use, whose usual form ends in the address.
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 1, _, _, _, a, b] => v4(a, b),
        [0x2002, a, b, ..] => v4(a, b),
        // Teredo has the client's address with every bit turned over (RFC 4380).
        [0x2001, 0, _, _, _, _, a, b] => v4(!a, !b),
        _ => None,
    }
}

/// One entry of `network.allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Every address in it.
    Range(Cidr),
    /// This host by exactly this name, in lower case without a dot at the end.
    Host(String),
}

/// Why a text is no entry of `network.allow`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AllowedError {
    /// What is wrong, without the text.
    pub message: &'static str,
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let wrong = |message| Err(AllowedError { message });
        if let Ok(range) = text.parse::<Cidr>() {
            return Ok(Self::Range(range));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.contains("//") || name.contains('/') {
            return wrong("write the host name alone, without scheme and path, or a range such as 10.0.0.0/8");
        }
        if name.contains('*') {
            return wrong("a host name is matched exactly: write each host, or a range of addresses");
        }
        if name.contains(':') {
            return wrong("write the host name without its port: every port of it is allowed");
        }
        if !name.is_ascii() {
            return wrong("write the host name in its ASCII form (xn--…)");
        }
        let label = |label: &str| {
            let known = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            known && !label.is_empty() && label.len() <= LABEL_BYTES_MAX
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(label) {
            return wrong("this is no address, no range and no host name");
        }
        // A name that ends in a number is an address in another notation wherever URLs are read.
        let last = name.rsplit('.').next().unwrap_or_default();
        let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return wrong("write the address as four numbers, such as 127.0.0.1");
        }
        Ok(Self::Host(name))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Host(name) => f.write_str(name),
        }
    }
}

/// What may be reached besides public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Allowed>);

impl AllowList {
    /// These entries.
    pub fn new(entries: Vec<Allowed>) -> Self {
        Self(entries)
    }

    /// Whether a request to `host` may connect to `address`; else what kind of address it is.
    ///
    /// A range admits what lies in it. A name admits its private addresses, but no metadata, link-local or other special
    /// ones: whoever answers for a name may not choose those, they are listed by address. A translated address needs its
    /// own range listed, and the IPv4 address inside must be admitted as well.
    pub fn admits(&self, host: &str, address: IpAddr) -> Result<(), Reach> {
        let reach = Reach::of(address);
        let host = host.strip_suffix('.').unwrap_or(host);
        let listed = self.0.iter().any(|entry| matches!(entry, Allowed::Range(range) if range.contains(address)));
        let named =
            || self.0.iter().any(|entry| matches!(entry, Allowed::Host(name) if name.eq_ignore_ascii_case(host)));
        let admitted = match reach {
            Reach::Public => true,
            Reach::Loopback | Reach::Private | Reach::SharedNat => listed || named(),
            Reach::Translated(inside) => listed && self.admits(host, IpAddr::V4(inside)).is_ok(),
            Reach::LinkLocal
            | Reach::Metadata
            | Reach::Unspecified
            | Reach::Multicast
            | Reach::Broadcast
            | Reach::Documentation
            | Reach::Benchmarking
            | Reach::Reserved => listed,
        };
        if admitted { Ok(()) } else { Err(reach) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_address_is_known_by_its_edges() {
        // The table that `agent prove` has.
        let table = include_str!("../prove/tables/addresses.yaml");
        let table: std::collections::BTreeMap<String, Vec<IpAddr>> = serde_yaml::from_str(table).expect("a table");
        assert_eq!(table.len(), 13, "every kind");
        for (expected, addresses) in table {
            assert!(!addresses.is_empty(), "{expected}");
            for address in addresses {
                assert_eq!(Reach::of(address).to_string(), expected, "{address}");
            }
        }
    }

    #[test]
    fn a_translated_address_shows_what_is_inside() {
        for (text, inside) in [
            ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
            ("64:ff9b:1::7f00:1", "127.0.0.1"),
            ("2002:a9fe:a9fe::1", "169.254.169.254"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"),
            ("::127.0.0.1", "127.0.0.1"),
        ] {
            let expected = Reach::Translated(inside.parse().expect("an address"));
            assert_eq!(Reach::of(text.parse().expect("an address")), expected, "{text}");
        }
    }

    fn list(entries: &[&str]) -> AllowList {
        AllowList::new(entries.iter().map(|entry| entry.parse().expect("an entry")).collect())
    }

    #[test]
    fn a_range_admits_what_lies_in_it_and_a_name_its_private_addresses_only() {
        let allow = list(&["127.0.0.1/32", "fd00::/8", "Internal.example.com.", "169.254.169.254"]);
        let ask = |host: &str, address: &str| allow.admits(host, address.parse().expect("an address"));
        assert_eq!(ask("127.0.0.1", "127.0.0.1"), Ok(()));
        assert_eq!(ask("anything", "::ffff:127.0.0.1"), Ok(()), "a mapped address is its IPv4 address");
        assert_eq!(ask("anything", "127.0.0.2"), Err(Reach::Loopback));
        assert_eq!(ask("anything", "fd12::1"), Ok(()));
        assert_eq!(ask("internal.example.com", "10.0.0.1"), Ok(()));
        assert_eq!(ask("INTERNAL.example.com.", "127.0.0.9"), Ok(()));
        assert_eq!(ask("a.internal.example.com", "10.0.0.1"), Err(Reach::Private), "names are exact");
        assert_eq!(ask("example.com", "10.0.0.1"), Err(Reach::Private));
        assert_eq!(ask("internal.example.com", "169.254.170.2"), Err(Reach::Metadata), "a name never reaches metadata");
        assert_eq!(ask("internal.example.com", "169.254.1.1"), Err(Reach::LinkLocal));
        assert_eq!(ask("internal.example.com", "169.254.169.254"), Ok(()), "the address itself is listed");
    }

    #[test]
    fn a_translator_opens_no_way_around() {
        let inside = |text: &str| Err(Reach::Translated(text.parse().expect("an address")));
        let ask = |entries: &[&str], address: &str| list(entries).admits("h", address.parse().expect("an address"));
        assert_eq!(ask(&[], "64:ff9b::808:808"), inside("8.8.8.8"));
        assert_eq!(ask(&["127.0.0.0/8"], "64:ff9b::7f00:1"), inside("127.0.0.1"));
        assert_eq!(ask(&["64:ff9b::/96"], "64:ff9b::808:808"), Ok(()));
        assert_eq!(ask(&["64:ff9b::/96"], "64:ff9b::a9fe:a9fe"), inside("169.254.169.254"));
        assert_eq!(ask(&["64:ff9b::/96", "10.0.0.0/8"], "64:ff9b::a00:1"), Ok(()));
    }

    #[test]
    fn an_entry_that_means_something_else_is_refused() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1"),
            ("LOCALHOST", "localhost"),
            ("a-b.c_d.example.", "a-b.c_d.example"),
        ] {
            assert_eq!(text.parse::<Allowed>().map(|entry| entry.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "*.example.com",
            "https://example.com",
            "example.com:443",
            "10.0.0.0/33",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "a b",
            "bücher.example",
            "a/b",
        ] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// The same question asked in other words: the standard library's own predicates.
        #[test]
        fn what_is_public_is_nothing_that_the_standard_library_calls_special(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            if Reach::of(address.into()) == Reach::Public {
                prop_assert!(!address.is_private() && !address.is_loopback() && !address.is_link_local());
                prop_assert!(!address.is_multicast() && !address.is_broadcast() && !address.is_documentation());
                prop_assert!(!address.is_unspecified() && address.octets()[0] != 0 && address.octets()[0] < 224);
            }
        }

        /// No way of writing an IPv4 address into an IPv6 one reaches further than the IPv4 address itself.
        #[test]
        fn an_ipv4_address_inside_an_ipv6_one_reaches_no_further(bits: u32, middle: u64, listed in 0u8..=32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let (a, b) = ((bits >> 16) as u16, bits as u16);
            let [m1, m2, m3, m4] = [middle as u16, (middle >> 16) as u16, (middle >> 32) as u16, (middle >> 48) as u16];
            let wrapped = [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 1, m1, m2, m3, a, b),
                Ipv6Addr::new(0x2002, a, b, m1, m2, m3, m4, 1),
                Ipv6Addr::new(0x2001, 0, m1, m2, m3, m4, !a, !b),
            ];
            let everything_v6 = ["::/0".parse().expect("a range"), format!("{v4}/{listed}").parse().expect("a range")];
            for allow in [list(&[]), AllowList::new(everything_v6[..1].to_vec()), AllowList::new(everything_v6.to_vec())] {
                let alone = allow.admits("h", v4.into()).is_ok();
                for address in wrapped.iter().filter(|address| !address.is_unspecified() && !address.is_loopback()) {
                    prop_assert!(alone || allow.admits("h", (*address).into()).is_err(), "{address} {v4}");
                }
            }
        }

        /// Outside 2000::/3 nothing is public.
        #[test]
        fn only_global_unicast_is_public(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if Reach::of(address.into()) == Reach::Public && address.to_ipv4_mapped().is_none() {
                prop_assert_eq!(address.segments()[0] >> 13, 1);
            }
        }
    }
}
