//! From options to a gateway that listens.

use std::net::{IpAddr, SocketAddr};

use cyberbrain_common::db::{Pool, instance::Instance};
use cyberbrain_core::ids::InstanceId;

use super::{Access, Budget, Endpoints, Gateway};
use crate::{args::LlmArgs, error::Error, runtime::HostAddress};

/// Below those that kernels hand out, and seldom used.
const FIRST_PORT: u16 = 21_000;
const PORTS: u128 = 9_000;

/// Listens, if there is an endpoints file and anything that runs workers.
///
/// # Errors
/// When the file or the address can't be used.
pub(crate) fn start(
    args: &LlmArgs,
    host: HostAddress,
    instance: &Instance,
    pool: &Pool,
) -> Result<Option<(Gateway, Access)>, Error> {
    let Some(path) = &args.llm_endpoints else { return Ok(None) };
    let endpoints = Endpoints::read(path)?;
    let address = match (args.llm_bind, host) {
        (Some(address), HostAddress::At(_) | HostAddress::Unknown) => address,
        (None, HostAddress::At(ip)) => SocketAddr::new(ip, usual_port(instance.id)),
        (None, HostAddress::Unknown) => return Err(Error::NoBridge),
        (_, HostAddress::NobodyLooks) => {
            tracing::info!("no LLM gateway: nothing runs on a simulated host");
            return Ok(None);
        }
    };
    let budget = Budget { tokens: args.llm_attempt_tokens, calls: args.llm_attempt_calls };
    let models = endpoints.model_names().len();
    let unusable = |source| Error::Gateway { address, source };
    let gateway = Gateway::bind(address, endpoints, budget, instance, pool.clone()).map_err(unusable)?;
    let listening = gateway.address().map_err(unusable)?;
    let url = match (&args.llm_url, host) {
        (Some(url), _) => url.clone(),
        (None, HostAddress::At(seen)) => usual_url(listening, seen),
        (None, HostAddress::Unknown | HostAddress::NobodyLooks) => usual_url(listening, listening.ip()),
    };
    tracing::info!(url, models, "LLM gateway listens");
    let access = gateway.access(url);
    Ok(Some((gateway, access)))
}

/// The port of an installation: the same at every start and for every sibling, and another one for each installation,
/// mostly.
fn usual_port(instance: InstanceId) -> u16 {
    let offset = instance.uuid().as_u128() % PORTS;
    FIRST_PORT + u16::try_from(offset).unwrap_or_default()
}

/// What workers are told if nothing else is said: the address that we listen at, or, if that is all of them, the one
/// at which workers see this machine.
fn usual_url(listening: SocketAddr, seen: IpAddr) -> String {
    let ip = if listening.ip().is_unspecified() { seen } else { listening.ip() };
    format!("http://{}/v1", SocketAddr::new(ip, listening.port()))
}

#[cfg(test)]
mod tests {
    use cyberbrain_common::ids::fresh;

    use super::*;

    #[test]
    fn an_installation_has_one_port_and_workers_are_told_an_address_that_they_see() {
        let instance: InstanceId = fresh();
        assert_eq!(usual_port(instance), usual_port(instance));
        for _ in 0..1_000 {
            assert!((21_000..30_000).contains(&usual_port(fresh())));
        }
        let bridge: IpAddr = "172.17.0.1".parse().unwrap();
        let url = |listening: &str| usual_url(listening.parse().unwrap(), bridge);
        assert_eq!(url("172.17.0.1:21234"), "http://172.17.0.1:21234/v1");
        assert_eq!(url("0.0.0.0:9710"), "http://172.17.0.1:9710/v1");
        assert_eq!(url("10.0.0.7:9710"), "http://10.0.0.7:9710/v1");
    }
}
