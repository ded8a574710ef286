//! Which port the API gets: the usual one, or the next free one, said aloud.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::bail;

use crate::notice::say;

/// How many ports after the usual one are tried.
const TRIES: u16 = 100;

/// The first free address from `wanted` on.
pub fn free_from(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    let last = wanted.port().saturating_add(TRIES);
    for port in wanted.port()..=last {
        let address = SocketAddr::new(wanted.ip(), port);
        if TcpListener::bind(address).is_ok() {
            if port != wanted.port() {
                say(format_args!("port {} is taken; the API listens on {port}", wanted.port()));
            }
            return Ok(address);
        }
    }
    bail!("no free port between {} and {last} on {}; give one with --bind", wanted.port(), wanted.ip())
}

/// Where the API listens unless told otherwise.
pub const DEFAULT_BIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9595);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::free_from;

    #[test]
    fn a_taken_port_gives_the_next_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted: SocketAddr = taken.local_addr().unwrap();
        let given = free_from(wanted).unwrap();
        assert!(given.port() > wanted.port());
    }
}
