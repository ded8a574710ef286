//! Where the engine's machine is, seen from containers on its bridge.

use std::net::IpAddr;

use bollard::query_parameters::InspectNetworkOptions;

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
        let mut gateways = configs.into_iter().filter_map(|config| config.gateway?.parse::<IpAddr>().ok());
        Ok(gateways.find(IpAddr::is_ipv4).map_or(HostAddress::Unknown, HostAddress::At))
    }
}
