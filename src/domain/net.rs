//! Addresses: ranges that admit, the client behind proxies, and the key that limits are counted under.

use std::net::IpAddr;
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
