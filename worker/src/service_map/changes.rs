//! What is different since an earlier map of the same host and scope.

use std::collections::BTreeMap;

use cyberbrain_core::{
    outcome::{ChangeKind, JobResult, ServiceChange, ServiceMap, ServiceSummary, clean_text},
    staging::{Inventory, InventoryContainer, PreviousResult},
};

use super::short_id;

/// What came of comparing.
pub enum Comparison<'a> {
    /// There is no earlier map.
    Nothing,
    /// The earlier map shows another choice of containers: what it lacks need not be new.
    OtherScope(&'a PreviousResult),
    With {
        previous: &'a PreviousResult,
        /// By name.
        changes: Vec<ServiceChange>,
        /// Whether the earlier result could not list all its services; of the others nothing is said.
        partial: bool,
    },
}

impl<'a> Comparison<'a> {
    /// Compares with this earlier result. One of another job or host is none.
    pub fn of(inventory: &Inventory, previous: Option<&'a PreviousResult>) -> Self {
        let Some(previous) = previous else { return Self::Nothing };
        let map = match &previous.result {
            JobResult::ServiceMap(map) if map.host == clean_text(&inventory.host) => map,
            JobResult::ServiceMap(_)
            | JobResult::LogTriage(_)
            | JobResult::GpuReport(_)
            | JobResult::Custom(_) => return Self::Nothing,
        };
        if map.scope != inventory.scope {
            return Self::OtherScope(previous);
        }
        let changes = changes(&inventory.containers, map);
        Self::With { previous, changes, partial: map.services_left_out > 0 }
    }

    /// The differences; none where nothing was compared.
    pub fn changes(&self) -> &[ServiceChange] {
        match self {
            Self::Nothing | Self::OtherScope(_) => &[],
            Self::With { changes, .. } => changes,
        }
    }
}

fn changes(containers: &[InventoryContainer], before: &ServiceMap) -> Vec<ServiceChange> {
    let now: BTreeMap<String, &InventoryContainer> =
        containers.iter().map(|container| (clean_text(&container.name), container)).collect();
    let earlier: BTreeMap<&str, &ServiceSummary> =
        before.services.iter().map(|service| (service.name.as_str(), service)).collect();
    // Listed are the first ones by name: of a partial list it is not known what came after the last.
    let known = |name: &str| {
        before.services_left_out == 0 || before.services.last().is_some_and(|last| *name <= *last.name)
    };
    let change = |kind, name: &str| ServiceChange { kind, name: name.to_owned(), restarts: 0 };
    let mut out = Vec::new();
    for (name, container) in &now {
        match earlier.get(name.as_str()) {
            None if known(name) => out.push(change(ChangeKind::New, name)),
            None => {}
            Some(service) => compare(name, container, service, &mut out),
        }
    }
    let gone = earlier.keys().filter(|name| !now.contains_key(**name));
    out.extend(gone.map(|name| change(ChangeKind::Gone, name)));
    out.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    out
}

fn compare(name: &str, now: &InventoryContainer, before: &ServiceSummary, out: &mut Vec<ServiceChange>) {
    let mut push = |kind, restarts| out.push(ServiceChange { kind, name: name.to_owned(), restarts });
    let same_container = before.id == clean_text(short_id(now));
    let image_id = clean_text(&now.image_id);
    if !before.image_id.is_empty() && !image_id.is_empty() && before.image_id != image_id {
        push(ChangeKind::Image, 0);
    } else if !same_container {
        push(ChangeKind::Recreated, 0);
    }
    // Another container counts from zero.
    let counted = if same_container { before.restart_count } else { 0 };
    if now.restart_count > counted {
        push(ChangeKind::Restarted, now.restart_count - counted);
    }
}
