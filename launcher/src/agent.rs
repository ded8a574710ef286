//! `Agent`: one launcher incarnation on one host, and what all its parts share.

use std::{sync::Arc, time::Duration};

use cyberbrain_common::{
    db::{Pool, instance::Instance},
    wake::Debouncer,
};
use cyberbrain_core::{
    audit::Actor,
    ids::{HostId, LauncherId},
    spec::Network,
    staging::LlmAccess,
};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::task::TaskTracker;

use crate::{
    gateway::Access,
    grants::Grants,
    layout::Layout,
    orders::Register,
    progress::ProgressSink,
    runtime::{ImageId, RuntimeKind, WorkerRuntime},
};

/// Bounds that an operator may choose.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Workers at once.
    pub attempts: u32,
    /// Output of one worker that is kept; what comes after it is counted only.
    pub kept_log_bytes: u64,
    /// A worker that writes more than this is stopped.
    pub log_quota_bytes: u64,
    /// What is staged of one container's log.
    pub staged_log_bytes: u64,
    pub artifact_files: usize,
    pub artifact_bytes: u64,
}

/// One launcher on one host.
pub(crate) struct Agent {
    pub host: HostId,
    pub host_name: String,
    pub launcher: LauncherId,
    pub boot_id: String,
    pub instance: Instance,
    pub kind: RuntimeKind,
    pub runtime: Arc<dyn WorkerRuntime>,
    pub worker_image: ImageId,
    pub pool: Pool,
    pub layout: Layout,
    pub limits: Limits,
    /// What jobs may be given by name.
    pub grants: Grants,
    /// Where its workers reach language models, if anywhere.
    pub gateway: Option<Access>,
    pub register: Arc<Register>,
    pub progress: Arc<ProgressSink>,
    pub tasks: TaskTracker,
    /// Tells the scheduler that a place may be free.
    pub freed: Arc<Debouncer>,
    /// Held while attempts are taken, from the first lock to the entry in the register, and while rows are compared
    /// with the register: so that a taken attempt never looks forgotten.
    pub taking: Mutex<()>,
    /// Set by the first full reconcile; nothing is accepted before.
    pub reconciled: watch::Sender<bool>,
    /// Offers may be open.
    pub offers: Notify,
    /// Orphans may be waiting, or a container without an owner.
    pub disorder: Notify,
}

/// Pause before a failed call to the engine is tried again.
pub(crate) const ENGINE_PAUSE: Duration = Duration::from_secs(2);

impl Agent {
    pub(crate) fn actor() -> Actor {
        Actor::System("launcher")
    }

    /// How a worker on this network reaches language models.
    pub(crate) fn llm_access(&self, network: Network) -> LlmAccess {
        match (&self.gateway, network) {
            (None, _) => LlmAccess::NotConfigured,
            (Some(_), Network::None) => LlmAccess::NoNetwork,
            (Some(access), Network::Bridge) => access.told(),
        }
    }
}
