//! A snapshot of every container on the engine, ours or not: reading only.
//!
//! Environment and command are read for one purpose: which other containers they name. Their values, where
//! passwords live, leave this file in no form.

use std::collections::{BTreeMap, BTreeSet};

use bollard::{
    models::{
        ContainerInspectResponse, ContainerState, ContainerSummary, HealthStatusEnum, MountPoint,
        NetworkSettings,
    },
    query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder},
};
use chrono::DateTime;
use cyberbrain_core::staging::{
    COMPOSE_SERVICE, Health, InventoryContainer, LastExit, Mount, MountAccess, MountKind, NetworkAttachment,
    PublishedPort,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    DockerRuntime, READ,
    answer::{Asked, listed_state},
    bounded,
};
use crate::runtime::error::{EngineCall, Error};

/// How many inspections are under way at once.
const INSPECTIONS: usize = 4;
/// A host with more containers than this has other problems than ours.
const MAX_CONTAINERS: usize = 2_000;
/// What containers call the host that they run on.
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];
/// What else a container on the host's own network calls it.
const LOOPBACK_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

impl DockerRuntime {
    pub(super) async fn take_inventory(&self) -> Result<Vec<InventoryContainer>, Error> {
        let asked = Asked { call: EngineCall::List, subject: "containers" };
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let summaries = bounded(asked, READ, self.docker.list_containers(Some(options))).await?;
        let details: Vec<_> = stream::iter(summaries.into_iter().take(MAX_CONTAINERS))
            .map(|summary| self.details(summary))
            .buffered(INSPECTIONS)
            .try_filter_map(|found| async { Ok(found) })
            .try_collect()
            .await?;
        let names: BTreeSet<String> = details.iter().flat_map(|(_, inspected)| names(inspected)).collect();
        let addresses: BTreeSet<String> =
            details.iter().flat_map(|(_, inspected)| addresses_of_host(inspected)).collect();
        let containers = details
            .into_iter()
            .filter_map(|(summary, inspected)| container(summary, inspected, &names, &addresses));
        Ok(containers.collect())
    }

    /// `None` if it went away meanwhile.
    async fn details(
        &self,
        summary: ContainerSummary,
    ) -> Result<Option<(ContainerSummary, ContainerInspectResponse)>, Error> {
        let id = summary.id.clone().unwrap_or_default();
        let asked = Asked { call: EngineCall::Inspect, subject: &id };
        match bounded(asked, READ, self.docker.inspect_container(&id, None::<InspectContainerOptions>)).await
        {
            Ok(inspected) => Ok(Some((summary, inspected))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// `None` if the engine leaves out what makes it a container.
fn container(
    summary: ContainerSummary,
    inspected: ContainerInspectResponse,
    names_of_all: &BTreeSet<String>,
    addresses_of_host: &BTreeSet<String>,
) -> Option<InventoryContainer> {
    let references = references(&inspected, names_of_all);
    let links = links(&inspected);
    let host_ports = host_ports(&inspected, addresses_of_host);
    let state = inspected.state.unwrap_or_default();
    let last_exit = last_exit(&state);
    let config = inspected.config.unwrap_or_default();
    let network_settings = inspected.network_settings.unwrap_or_default();
    Some(InventoryContainer {
        id: summary.id?,
        name: inspected.name?.trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        image_id: inspected.image.unwrap_or_default(),
        state: listed_state(summary.state?)?,
        health: health(state.health.and_then(|health| health.status)),
        created_at: DateTime::from_timestamp(summary.created?, 0)?,
        restart_count: inspected.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        last_exit,
        ports: ports(&network_settings),
        networks: networks(network_settings),
        mounts: inspected.mounts.unwrap_or_default().into_iter().filter_map(mount).collect(),
        labels: config.labels.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>(),
        references,
        links,
        host_ports,
    })
}

/// The engine writes the year 1 where there is no time.
fn last_exit(state: &ContainerState) -> Option<LastExit> {
    let at = DateTime::parse_from_rfc3339(state.finished_at.as_deref()?).ok()?.to_utc();
    (at > DateTime::UNIX_EPOCH).then(|| LastExit {
        at,
        code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed == Some(true),
    })
}

/// What others may call it.
fn names(inspected: &ContainerInspectResponse) -> Vec<String> {
    let name = inspected.name.as_deref().map(|name| name.trim_start_matches('/').to_owned());
    let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
    let service = labels.and_then(|labels| labels.get(COMPOSE_SERVICE)).cloned();
    name.into_iter().chain(service).filter(|name| !name.is_empty()).collect()
}

/// The names of others that stand as whole words in its environment's values or its command.
fn references(inspected: &ContainerInspectResponse, names_of_all: &BTreeSet<String>) -> Vec<String> {
    let own = names(inspected);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let words: BTreeSet<&str> = texts(inspected).flat_map(|text| text.split(|c| !is_part(c))).collect();
    names_of_all.iter().filter(|name| words.contains(name.as_str()) && !own.contains(name)).cloned().collect()
}

/// Its variables, name and value.
fn variables(inspected: &ContainerInspectResponse) -> impl Iterator<Item = (&str, &str)> {
    let env = inspected.config.as_ref().and_then(|config| config.env.as_deref());
    env.unwrap_or_default().iter().filter_map(|variable| variable.split_once('='))
}

/// The values of its environment, and its command.
fn texts(inspected: &ContainerInspectResponse) -> impl Iterator<Item = &str> {
    let command = inspected.config.as_ref().and_then(|config| config.cmd.as_deref());
    variables(inspected).map(|(_, value)| value).chain(command.unwrap_or_default().iter().map(String::as_str))
}

/// The containers that it was linked to: `/db:/web/alias` links to `db`.
fn links(inspected: &ContainerInspectResponse) -> Vec<String> {
    let links = inspected.host_config.as_ref().and_then(|config| config.links.as_deref());
    let names = links.unwrap_or_default().iter().filter_map(|link| link.split(':').next());
    let names: BTreeSet<&str> = names.map(|name| name.trim_start_matches('/')).collect();
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Addresses under which containers reach the host, as far as this one shows them: gateways, and where it publishes.
fn addresses_of_host(inspected: &ContainerInspectResponse) -> Vec<String> {
    let Some(settings) = &inspected.network_settings else { return Vec::new() };
    let gateways = settings.networks.iter().flatten().filter_map(|(_, endpoint)| endpoint.gateway.clone());
    let bound = settings.ports.iter().flatten().flat_map(|(_, bindings)| bindings.iter().flatten());
    let bound = bound
        .filter_map(|binding| binding.host_ip.clone())
        .filter(|ip| ip.parse().is_ok_and(|ip: std::net::IpAddr| !ip.is_unspecified() && !ip.is_loopback()));
    gateways.chain(bound).filter(|address| !address.is_empty()).collect()
}

/// The ports of the host that its environment or command addresses: `host:port` in any text, or a pair of variables
/// such as `DB_HOST` and `DB_PORT`. IPv4 and names; what is computed at run time is not seen.
fn host_ports(inspected: &ContainerInspectResponse, addresses_of_host: &BTreeSet<String>) -> Vec<u16> {
    let config = inspected.host_config.as_ref();
    let on_host = config.and_then(|config| config.network_mode.as_deref()) == Some("host");
    // `name:host-gateway` gives the host one more name in this container.
    let given: BTreeSet<&str> = config
        .and_then(|config| config.extra_hosts.as_deref())
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| entry.split_once(':'))
        .filter(|(_, address)| *address == "host-gateway" || addresses_of_host.contains(*address))
        .map(|(name, _)| name)
        .collect();
    let is_host = |name: &str| {
        HOST_NAMES.contains(&name)
            || addresses_of_host.contains(name)
            || given.contains(name)
            || (on_host && LOOPBACK_NAMES.contains(&name))
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let mut ports: BTreeSet<u16> = texts(inspected)
        .flat_map(|text| text.split(|c| !is_part(c)))
        .filter_map(|word| word.rsplit_once(':'))
        .filter(|(name, _)| is_host(name))
        .filter_map(|(_, port)| port.parse().ok())
        .collect();
    let values: BTreeMap<&str, &str> = variables(inspected).collect();
    for (name, _) in values.iter().filter(|(_, value)| is_host(value)) {
        let port = name.strip_suffix("HOST").and_then(|prefix| values.get(format!("{prefix}PORT").as_str()));
        ports.extend(port.and_then(|port| port.parse::<u16>().ok()));
    }
    ports.into_iter().filter(|port| *port > 0).collect()
}

const fn health(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

fn networks(settings: NetworkSettings) -> Vec<NetworkAttachment> {
    let mut networks: Vec<_> = settings
        .networks
        .unwrap_or_default()
        .into_iter()
        .map(|(name, endpoint)| NetworkAttachment {
            name,
            ip: endpoint.ip_address.and_then(|ip| ip.parse().ok()),
        })
        .collect();
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    networks
}

/// `80/tcp` with its places on the host, or with none.
fn ports(settings: &NetworkSettings) -> Vec<PublishedPort> {
    let mut ports = Vec::new();
    for (port, bindings) in settings.ports.iter().flatten() {
        let Some((number, protocol)) = port.split_once('/') else { continue };
        let (Ok(container_port), Ok(protocol)) = (number.parse(), protocol.parse()) else { continue };
        let inside = PublishedPort { container_port, protocol, host_ip: None, host_port: None };
        let bindings = bindings.as_deref().unwrap_or_default();
        if bindings.is_empty() {
            ports.push(inside);
        }
        ports.extend(bindings.iter().map(|binding| PublishedPort {
            host_ip: binding.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
            host_port: binding.host_port.as_deref().and_then(|port| port.parse().ok()),
            ..inside
        }));
    }
    ports.sort_by_key(|port| (port.container_port, port.protocol, port.host_ip, port.host_port));
    ports
}

fn mount(point: MountPoint) -> Option<Mount> {
    let kind = match point.typ.as_deref() {
        Some("bind") => MountKind::Bind,
        Some("volume") => MountKind::Volume,
        Some("tmpfs") => MountKind::Tmpfs,
        Some(_) | None => MountKind::Other,
    };
    let source = match kind {
        MountKind::Volume => point.name,
        MountKind::Bind | MountKind::Other => point.source,
        MountKind::Tmpfs => None,
    };
    Some(Mount {
        kind,
        source: source.filter(|source| !source.is_empty()),
        destination: point.destination?,
        access: if point.rw == Some(true) { MountAccess::ReadWrite } else { MountAccess::ReadOnly },
    })
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
