use bollard::models::{
    ContainerConfig, ContainerState, ContainerSummaryStateEnum, EndpointSettings, PortBinding,
};
use cyberbrain_core::staging::PortProtocol;

use super::*;

fn inspected(name: &str, service: Option<&str>, env: &[&str], command: &[&str]) -> ContainerInspectResponse {
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    ContainerInspectResponse {
        name: Some(format!("/{name}")),
        config: Some(ContainerConfig {
            env: texts(env),
            cmd: texts(command),
            labels: service.map(|service| [(COMPOSE_SERVICE.to_owned(), service.to_owned())].into()),
            ..ContainerConfig::default()
        }),
        ..ContainerInspectResponse::default()
    }
}

#[test]
fn references_are_whole_names_of_others_and_nothing_else() {
    let web = inspected(
        "shop-web-1",
        Some("web"),
        &["DATABASE_URL=postgres://user:db-secret@db:5432/shop", "CACHE=redis.internal", "db=x", "SELF=web"],
        &["serve", "--queue=amqp://queue/"],
    );
    let names: BTreeSet<_> =
        ["db", "web", "shop-web-1", "redis", "queue", "shop", "user"].map(str::to_owned).into();
    // `redis.internal` and `db-secret` are other words; the variable named `db` is no value.
    assert_eq!(references(&web, &names), ["db", "queue", "shop", "user"]);
    let quiet = inspected("quiet", None, &["db=x"], &[]);
    assert!(references(&quiet, &names).is_empty());
}

#[test]
fn no_value_of_the_environment_leaves() {
    let secret =
        inspected("one", None, &["PASSWORD=hunter2", "URL=http://two/?key=hunter3"], &["--token=hunter4"]);
    let summary = ContainerSummary {
        id: Some("1".into()),
        created: Some(1),
        state: Some(ContainerSummaryStateEnum::RUNNING),
        ..ContainerSummary::default()
    };
    let names = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    let shown = container(summary, secret, &names, &BTreeSet::new()).unwrap();
    assert_eq!(shown.references, ["two"]);
    let text = format!("{shown:?}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn links_and_used_ports_of_the_host_are_read_as_names_and_numbers() {
    let with = |mode: &str, env: &[&str], command: &[&str]| {
        let host_config = bollard::models::HostConfig {
            network_mode: Some(mode.to_owned()),
            links: Some(vec!["/db:/web/database".into(), "/db:/web/db".into(), "/cache:/web/cache".into()]),
            extra_hosts: Some(vec!["box:host-gateway".into(), "other:10.9.9.9".into()]),
            ..bollard::models::HostConfig::default()
        };
        ContainerInspectResponse { host_config: Some(host_config), ..inspected("web", None, env, command) }
    };
    let addresses = BTreeSet::from(["172.17.0.1".to_owned()]);
    let web = with(
        "bridge",
        &[
            "A=http://user:secret@host.docker.internal:8080/path",
            "B=172.17.0.1:5433,172.17.0.9:1",
            "C=box:6000 other:2 localhost:3",
            "DB_HOST=172.17.0.1",
            "DB_PORT=5432",
            "X_HOST=172.17.0.9",
            "X_PORT=4",
            "D=host.docker.internal:99999",
        ],
        &["--peer=tcp://172.17.0.1:7000"],
    );
    assert_eq!(links(&web), ["cache", "db"]);
    assert_eq!(host_ports(&web, &addresses), [5432, 5433, 6000, 7000, 8080]);
    let on_host = with("host", &["A=localhost:3", "B=127.0.0.1:4"], &[]);
    assert_eq!(host_ports(&on_host, &addresses), [3, 4], "its own loopback is the host's");
    let binding = |ip: &str| PortBinding { host_ip: Some(ip.into()), host_port: Some("80".into()) };
    let bound = vec![binding("0.0.0.0"), binding("127.0.0.1"), binding("192.168.1.3"), binding("::")];
    let settings = NetworkSettings {
        ports: Some([("80/tcp".to_owned(), Some(bound))].into()),
        networks: Some(
            [(
                "n".to_owned(),
                EndpointSettings { gateway: Some("172.18.0.1".into()), ..EndpointSettings::default() },
            )]
            .into(),
        ),
        ..NetworkSettings::default()
    };
    let shown =
        ContainerInspectResponse { network_settings: Some(settings), ..ContainerInspectResponse::default() };
    assert_eq!(addresses_of_host(&shown), ["172.18.0.1", "192.168.1.3"]);
}

#[test]
fn ports_networks_mounts_and_health_are_read() {
    let binding = |port: &str| PortBinding { host_ip: Some("0.0.0.0".into()), host_port: Some(port.into()) };
    let settings = NetworkSettings {
        ports: Some(
            [
                ("8080/tcp".to_owned(), Some(vec![binding("80")])),
                ("53/udp".to_owned(), None),
                ("odd".to_owned(), None),
            ]
            .into(),
        ),
        networks: Some(
            [
                (
                    "b".to_owned(),
                    EndpointSettings { ip_address: Some(String::new()), ..EndpointSettings::default() },
                ),
                (
                    "a".to_owned(),
                    EndpointSettings { ip_address: Some("10.0.0.2".into()), ..EndpointSettings::default() },
                ),
            ]
            .into(),
        ),
        ..NetworkSettings::default()
    };
    let seen: Vec<_> = ports(&settings).iter().map(|p| (p.container_port, p.protocol, p.host_port)).collect();
    assert_eq!(seen, [(53, PortProtocol::Udp, None), (8080, PortProtocol::Tcp, Some(80))]);
    let seen: Vec<_> =
        networks(settings).into_iter().map(|n| (n.name, n.ip.map(|ip| ip.to_string()))).collect();
    assert_eq!(seen, [("a".to_owned(), Some("10.0.0.2".to_owned())), ("b".to_owned(), None)]);
    let volume = MountPoint {
        typ: Some("volume".into()),
        name: Some("data".into()),
        source: Some("/var/lib/docker/volumes/data".into()),
        destination: Some("/data".into()),
        rw: Some(false),
        ..MountPoint::default()
    };
    let shown = mount(volume).unwrap();
    assert_eq!(
        (shown.kind, shown.source.as_deref(), shown.access),
        (MountKind::Volume, Some("data"), MountAccess::ReadOnly)
    );
    assert_eq!(health(ContainerState::default().health.and_then(|h| h.status)), Health::None);
    assert_eq!(health(Some(HealthStatusEnum::UNHEALTHY)), Health::Unhealthy);
}
