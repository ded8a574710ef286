//! Which port the API gets: the usual one, or the next free one, said aloud.
//!
//! Several `up`s may start at once, and each only looks whether a port is free: the api process binds it a little later.
//! So a port is claimed first, by a name that the kernel gives to one process and takes back at its end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::bail;

use crate::notice::say;

/// How many ports after the usual one are tried.
const TRIES: u16 = 100;

/// A free address, and the claim to it: other `up`s leave it alone while this lives.
#[derive(Debug)]
pub struct Claimed {
    pub address: SocketAddr,
    _claim: claim::Claim,
}

/// The first free address from `wanted` on that nobody else claims.
pub fn free_from(wanted: SocketAddr) -> anyhow::Result<Claimed> {
    let last = wanted.port().saturating_add(TRIES);
    for port in wanted.port()..=last {
        let address = SocketAddr::new(wanted.ip(), port);
        let Some(claim) = claim::claim(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            if port != wanted.port() {
                say(format_args!("port {} is taken; the API listens on {port}", wanted.port()));
            }
            return Ok(Claimed { address, _claim: claim });
        }
    }
    bail!("no free port between {} and {last} on {}; give one with --bind", wanted.port(), wanted.ip())
}

#[cfg(target_os = "linux")]
mod claim {
    //! An abstract socket: seen by all processes that share our ports, gone with its owner, also after `kill -9`.

    use std::{
        net::SocketAddr,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr as UnixAddr, UnixListener},
        },
    };

    pub(super) type Claim = UnixListener;

    pub(super) fn claim(address: SocketAddr) -> Option<Claim> {
        let name = UnixAddr::from_abstract_name(format!("cyberbrain-up-{address}")).ok()?;
        UnixListener::bind_addr(&name).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod claim {
    //! No such names here: two `up`s that start in the same moment may take the same port, and one says so.

    pub(super) type Claim = ();

    pub(super) fn claim(_: std::net::SocketAddr) -> Option<Claim> {
        Some(())
    }
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
        assert!(given.address.port() > wanted.port());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nobody_is_given_a_port_that_another_is_about_to_bind() {
        let wanted = {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            free.local_addr().unwrap()
        };
        let first = free_from(wanted).unwrap();
        let second = free_from(wanted).unwrap();
        assert_ne!(first.address, second.address);
        let freed = first.address;
        drop(first);
        assert_eq!(free_from(freed).unwrap().address, freed, "given back at the end");
    }
}
