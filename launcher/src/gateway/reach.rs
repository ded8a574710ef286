//! Which addresses are local: pure.
//!
//! Asked of the address that is connected to, never of a name, so that a name that points elsewhere a moment later
//! gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an endpoint may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Loopback, private and link-local addresses.
    LocalOnly,
    /// An operator has allowed more.
    Anywhere,
}

impl Reach {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::LocalOnly => is_local(address),
            Self::Anywhere => true,
        }
    }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_local_v4(mapped),
            None => is_local_v6(address),
        },
    }
}

const fn is_local_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

const fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_is_loopback_private_and_link_local_and_nothing_else() {
        let local = [
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.5",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ];
        let remote = [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "fec0::1",
            "ff02::1",
            "::7f00:1",
        ];
        for text in local {
            assert!(Reach::LocalOnly.allows(text.parse().unwrap()), "{text}");
        }
        for text in remote {
            assert!(!Reach::LocalOnly.allows(text.parse().unwrap()), "{text}");
            assert!(Reach::Anywhere.allows(text.parse().unwrap()), "{text}");
        }
    }
}
