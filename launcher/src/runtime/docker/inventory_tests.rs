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
    let shown = container(summary, secret, &names).unwrap();
    assert_eq!(shown.references, ["two"]);
    let text = format!("{shown:?}");
    assert!(!text.contains("hunter"), "{text}");
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
