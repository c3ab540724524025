//! Ranges and entries of `network.allow`: what is read is what was written, and nothing special is reached by a name.
//!
//! Input: an entry, and on the next lines addresses and names.

use std::net::IpAddr;

use hookhand::domain::net::{Cidr, ClientKey};
use hookhand::domain::reach::{AllowList, Allowed, Reach};

use super::first_line;

/// Checks one input.
pub fn check(data: &[u8]) {
    let (entry, rest) = first_line(data);
    let Ok(entry) = std::str::from_utf8(entry) else { return };
    let asked: Vec<&str> = std::str::from_utf8(rest).map(|rest| rest.lines().collect()).unwrap_or_default();
    let addresses: Vec<IpAddr> = asked.iter().filter_map(|line| line.parse().ok()).collect();
    match entry.parse::<Cidr>() {
        Ok(range) => range_holds(range, entry, &addresses),
        Err(error) => assert!(error.to_string().len() < 600),
    }
    let Ok(allowed) = entry.parse::<Allowed>() else { return };
    assert_eq!(allowed.to_string().parse::<Allowed>().as_ref(), Ok(&allowed), "{entry:?}");
    let list = AllowList::new(vec![allowed.clone()]);
    for address in addresses {
        let reach = Reach::of(address);
        for name in asked.iter().copied().chain(["example.com", entry]) {
            let admitted = list.admits(name, address);
            match &allowed {
                // A name gives no more than private addresses, and those for itself alone.
                Allowed::Host(host) if admitted.is_ok() => {
                    let own = name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(host);
                    let private = own && matches!(reach, Reach::Loopback | Reach::Private | Reach::SharedNat);
                    assert!(reach == Reach::Public || private, "{name} reaches {address}");
                }
                Allowed::Range(range) if admitted.is_ok() => {
                    assert!(reach == Reach::Public || range.contains(address), "{entry} admits {address}");
                }
                Allowed::Host(_) | Allowed::Range(_) => assert_eq!(admitted, Err(reach)),
            }
        }
    }
}

fn range_holds(range: Cidr, entry: &str, addresses: &[IpAddr]) {
    let shown = range.to_string();
    assert_eq!(shown.parse::<Cidr>(), Ok(range), "{entry:?} is shown as {shown:?}");
    let (first, bits) = match shown.split_once('/') {
        Some((first, bits)) => (first, bits.parse::<u32>().expect("a length")),
        None => (shown.as_str(), 128),
    };
    let first: IpAddr = first.parse().expect("an address");
    assert!(range.contains(first));
    assert!(!entry.parse::<IpAddr>().is_ok_and(|alone| alone.to_canonical() != first), "{entry:?} is {shown:?}");
    for address in addresses {
        let within = match (first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(v4)) => (first.to_bits() ^ v4.to_bits()).leading_zeros() >= bits.min(32),
            (IpAddr::V6(first), IpAddr::V6(v6)) => (first.to_bits() ^ v6.to_bits()).leading_zeros() >= bits,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        };
        assert_eq!(range.contains(*address), within, "{address} in {shown}");
        assert_eq!(ClientKey::of(*address), ClientKey::of(address.to_canonical()));
    }
}
