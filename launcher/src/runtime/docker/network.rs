//! Where the engine's machine is, seen from containers on its bridge.

use std::net::Ipv4Addr;

use bollard::{models::IpamConfig, query_parameters::InspectNetworkOptions};

use super::{DockerRuntime, READ, answer::Asked, bounded};
use crate::runtime::{
    error::{EngineCall, Error},
    identity::HostAddress,
};

/// The network of workers.
const BRIDGE: &str = "bridge";

impl DockerRuntime {
    /// The gateway of the bridge, which is an address of the engine's machine.
    pub(super) async fn bridge_gateway(&self) -> Result<HostAddress, Error> {
        let asked = Asked { call: EngineCall::Inspect, subject: "network bridge" };
        let inspected =
            bounded(asked, READ, self.docker.inspect_network(BRIDGE, None::<InspectNetworkOptions>)).await;
        let network = match inspected {
            Ok(network) => network,
            Err(Error::NotFound { .. }) => return Ok(HostAddress::Unknown),
            Err(error) => return Err(error),
        };
        let configs = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        Ok(configs.iter().find_map(gateway).map_or(HostAddress::Unknown, |ip| HostAddress::At(ip.into())))
    }
}

/// As the engine says it, or, where it says nothing (20.10), as it chooses it: the first address of the subnet.
fn gateway(config: &IpamConfig) -> Option<Ipv4Addr> {
    if let Some(gateway) = config.gateway.as_deref().filter(|text| !text.is_empty()) {
        return gateway.parse().ok();
    }
    let subnet: Ipv4Addr = config.subnet.as_deref()?.split('/').next()?.parse().ok()?;
    Some(Ipv4Addr::from_bits(subnet.to_bits() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_what_the_engine_says_or_the_first_address_of_the_subnet() {
        let of = |subnet: &str, gateway: Option<&str>| {
            let config = IpamConfig {
                subnet: Some(subnet.to_owned()),
                gateway: gateway.map(str::to_owned),
                ..IpamConfig::default()
            };
            super::gateway(&config).map(|ip| ip.to_string())
        };
        assert_eq!(of("172.17.0.0/16", Some("172.17.0.5")).as_deref(), Some("172.17.0.5"));
        assert_eq!(of("172.17.0.0/16", None).as_deref(), Some("172.17.0.1"));
        assert_eq!(of("172.17.0.0/16", Some("")).as_deref(), Some("172.17.0.1"));
        assert_eq!(of("fd00::/64", None), None);
        assert_eq!(of("fd00::/64", Some("fd00::1")), None);
    }
}
