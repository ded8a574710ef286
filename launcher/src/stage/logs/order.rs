//! Which containers are read, and in what order.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_common::db::staging::AllowedContainer;
use cyberbrain_core::staging::{InventoryContainer, LeftOut, LogParams, MAX_LEFT_OUT_NAMES};

/// Containers in one staging.
const MAX_CONTAINERS: usize = 200;

/// What to read, in order, and for what there is no room.
pub(super) struct Queue {
    pub wanted: Vec<InventoryContainer>,
    pub left_out: LeftOut,
}

/// Of the containers that may be read and are asked for, those that have not been read for longest come first, so that
/// none is left out for ever.
pub(super) fn by_need(
    containers: Vec<InventoryContainer>,
    allowed: &[AllowedContainer],
    params: &LogParams,
    cursors: &BTreeMap<String, DateTime<Utc>>,
) -> Queue {
    let mut wanted: Vec<InventoryContainer> = containers
        .into_iter()
        .filter(|container| params.mean(&container.name))
        .filter(|container| allowed.iter().any(|allowed| allowed.covers(&container.id, &container.name)))
        .collect();
    // Never read comes before all others.
    wanted.sort_by(|one, other| {
        (cursors.get(&one.name), &one.name).cmp(&(cursors.get(&other.name), &other.name))
    });
    let mut left_out = LeftOut::default();
    for container in wanted.split_off(wanted.len().min(MAX_CONTAINERS)) {
        leave_out(&mut left_out, &container.name);
    }
    Queue { wanted, left_out }
}

/// Counts it, and names it if there is room.
pub(super) fn leave_out(left_out: &mut LeftOut, name: &str) {
    left_out.count += 1;
    if left_out.names.len() < MAX_LEFT_OUT_NAMES {
        left_out.names.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use cyberbrain_core::staging::{ContainerState, Health};

    use super::*;

    fn container(id: &str, name: &str) -> InventoryContainer {
        InventoryContainer {
            id: id.into(),
            name: name.into(),
            image: String::new(),
            image_id: String::new(),
            state: ContainerState::Running,
            health: Health::None,
            created_at: DateTime::UNIX_EPOCH,
            restart_count: 0,
            last_exit: None,
            networks: Vec::new(),
            ports: Vec::new(),
            mounts: Vec::new(),
            labels: BTreeMap::new(),
            references: Vec::new(),
            links: Vec::new(),
            host_ports: Vec::new(),
        }
    }

    fn allow(id: &str, name: &str) -> AllowedContainer {
        AllowedContainer { id: id.into(), name: name.into() }
    }

    #[test]
    fn an_entry_covers_its_container_and_a_recreated_one_of_that_name() {
        let id = "0123456789abcdef0123456789abcdef";
        for (allowed, covered) in [
            (allow(id, ""), true),
            (allow("0123456789ab", ""), true),
            (allow("0123", ""), false),
            (allow("web", ""), true),
            (allow("fedcba9876543210", "web"), true),
            (allow("fedcba9876543210", "we"), false),
            (allow("fedcba9876543210", ""), false),
        ] {
            let found = by_need(
                vec![container(id, "web")],
                std::slice::from_ref(&allowed),
                &LogParams::default(),
                &BTreeMap::new(),
            );
            assert_eq!(found.wanted.len(), usize::from(covered), "{allowed:?}");
        }
    }

    #[test]
    fn only_the_containers_that_are_asked_for() {
        let all = || vec![container("1", "web"), container("2", "db"), container("3", "secret")];
        let allowed = [allow("1", ""), allow("2", "")];
        let of = |names: &[&str]| {
            let containers = names.iter().map(ToString::to_string).collect();
            let params = LogParams { containers, ..LogParams::default() };
            let found = by_need(all(), &allowed, &params, &BTreeMap::new());
            found.wanted.into_iter().map(|container| container.name).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["db", "web"]);
        assert_eq!(of(&["web", "secret", "none"]), ["web"]);
    }

    /// More containers than fit: each is read again and again, whatever their number.
    #[test]
    fn none_is_left_out_for_ever() {
        let many = MAX_CONTAINERS + 150;
        let containers: Vec<_> = (0..many).map(|n| container(&n.to_string(), &format!("c{n:04}"))).collect();
        let allowed: Vec<_> = (0..many).map(|n| allow(&n.to_string(), "")).collect();
        let mut cursors = BTreeMap::new();
        let mut times = BTreeMap::<String, u32>::new();
        for round in 0..7 {
            let queue = by_need(containers.clone(), &allowed, &LogParams::default(), &cursors);
            assert_eq!((queue.wanted.len(), queue.left_out.count), (MAX_CONTAINERS, 150));
            assert_eq!(queue.left_out.names.len(), MAX_LEFT_OUT_NAMES);
            for container in queue.wanted {
                *times.entry(container.name.clone()).or_default() += 1;
                cursors.insert(container.name, DateTime::from_timestamp(round, 0).unwrap());
            }
        }
        assert!(times.len() == many && times.values().all(|times| *times >= 3), "{times:?}");
    }
}
