//! Waiting for the end of a container.

use std::{pin::pin, time::Duration};

use bollard::query_parameters::WaitContainerOptionsBuilder;
use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::DockerRuntime;
use crate::runtime::{name::ContainerName, observe::Observation};

/// How often a silent wait is checked by an inspection: a hung engine and a lost answer show within this.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Pause before waiting again after a wait that ended while the container still runs.
const PAUSE: Duration = Duration::from_millis(200);

impl DockerRuntime {
    /// The stream's items are ignored on purpose: exit codes above zero come as errors, and a broken
    /// connection as an end. The inspection says what is true. Safe to drop at any time.
    pub(super) async fn wait_until_ended(&self, name: &ContainerName) -> Observation {
        loop {
            let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
            let mut ended = pin!(self.docker.wait_container(name.as_str(), Some(options)));
            loop {
                let waited = timeout(CHECK_EVERY, ended.next()).await;
                match (self.observe(name).await, waited) {
                    // It still runs and the engine is still there: go on waiting on the same stream.
                    (Observation::Running { .. }, Err(_)) => {}
                    // It still runs but the stream is over: begin a new one.
                    (Observation::Running { .. }, Ok(_)) => break,
                    (
                        ended @ (Observation::Absent
                        | Observation::Created
                        | Observation::Exited(_)
                        | Observation::Unknown(_)),
                        _,
                    ) => return ended,
                }
            }
            sleep(PAUSE).await;
        }
    }
}
