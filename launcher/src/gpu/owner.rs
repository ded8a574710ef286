//! Which container a process belongs to: read from its control group's path.
//!
//! Works where the launcher sees the host's processes; in a container of its own that needs the host's PID
//! namespace. Elsewhere every process is nobody's, and that is said by `None`.

use std::path::Path;

use crate::runtime::ContainerId;

/// Length of an engine's container id.
const ID_LENGTH: usize = 64;

/// The container of this process. `proc` is `/proc`, or where the host's is mounted.
#[must_use]
pub fn container_of(proc: &Path, pid: u32) -> Option<ContainerId> {
    let text = std::fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
    container_on_cgroup_path(&text)
}

/// The innermost container named in the text of `/proc/<pid>/cgroup`, whichever engine, cgroup version and
/// driver wrote it: `/docker/<id>`, `docker-<id>.scope`, `libpod-<id>.scope`, `cri-containerd-<id>.scope`.
#[must_use]
pub fn container_on_cgroup_path(text: &str) -> Option<ContainerId> {
    text.lines()
        // hierarchy:controllers:path
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(|path| path.rsplit('/').find_map(container_in_segment))
}

fn container_in_segment(segment: &str) -> Option<ContainerId> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    let id = name.rsplit_once('-').map_or(name, |(_, id)| id);
    let is_id = id.len() == ID_LENGTH
        && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_id.then(|| ContainerId::new(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn every_engines_paths_are_understood() {
        for path in [
            format!("12:memory:/docker/{ID}\n11:cpu:/docker/{ID}\n"),
            format!("0::/docker/{ID}\n"),
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("0::/../docker-{ID}.scope\n"),
            format!("0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope\n"),
            format!("0::/machine.slice/libpod-{ID}.scope/container\n"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"),
            format!("1:name=systemd:/docker/{}/docker/{ID}\n", "f".repeat(64)),
        ] {
            assert_eq!(container_on_cgroup_path(&path), Some(ContainerId::new(ID)), "{path}");
        }
    }

    #[test]
    fn other_processes_are_nobodys() {
        for path in
            ["", "0::/\n", "0::/user.slice\n", "0::/system.slice/ssh.service\n", "0::/docker/abc\n", "x"]
        {
            assert_eq!(container_on_cgroup_path(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = container_on_cgroup_path(&text);
        }
    }
}
