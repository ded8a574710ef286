//! The launcher's own container, where it runs in one: which of its paths the engine's host knows under what name.

use std::path::PathBuf;

use bollard::query_parameters::InspectContainerOptions;

use super::{DockerRuntime, READ, answer::Asked, bounded};
use crate::runtime::error::{EngineCall, Error};

impl DockerRuntime {
    /// Pairs of a path in our container and the host's path that is mounted there; empty if we are in no container of
    /// this engine.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn own_mounts(&self) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(id) = own_container(&mountinfo) else { return Ok(Vec::new()) };
        let asked = Asked { call: EngineCall::Inspect, subject: &id };
        let inspected =
            bounded(asked, READ, self.docker.inspect_container(&id, None::<InspectContainerOptions>)).await;
        match inspected {
            Ok(container) => Ok(container
                .mounts
                .unwrap_or_default()
                .into_iter()
                .filter_map(|mount| Some((mount.destination?.into(), mount.source?.into())))
                .filter(|(_, source): &(PathBuf, PathBuf)| source.is_absolute())
                .collect()),
            // A container of another engine, around both of us: its file system is the engine's.
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Engines mount a container's `hostname` file from a directory that is named after the container.
fn own_container(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (root, target) = (fields.nth(3)?, fields.next()?);
        if target != "/etc/hostname" {
            return None;
        }
        root.split('/')
            .find(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::own_container;

    #[test]
    fn the_hostname_file_says_which_container_we_are() {
        let id = "0123456789abcdef".repeat(4);
        let inside = format!(
            "1 2 0:1 / / rw - overlay overlay rw\n\
             7 6 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(own_container(&inside), Some(id));
        assert_eq!(own_container("1 2 0:1 / / rw - ext4 /dev/vda1 rw\n"), None);
        assert_eq!(own_container("7 6 254:1 /etc/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"), None);
        assert_eq!(own_container("short"), None);
    }
}
