//! Names of containers and the identities that an engine gives.
//!
//! A worker's name is `cb-<attempt>-f<fence>`: renaming is the engine's compare-and-set, so whoever still
//! uses an old name after somebody else took the attempt over is answered with *not found*. Nothing in this
//! crate starts, stops or removes a container by its id.

use std::fmt;

use cyberbrain_core::ids::{AttemptId, Fence};
use serde::Serialize;

use super::plan::PlanError;

/// Longest name that is accepted; engines take more, people do not.
const MAX_NAME_BYTES: usize = 128;
const PREFIX: &str = "cb-";

/// Name of a container of ours. It always begins with `cb-`, which is never the beginning of an id, so that
/// the engine can't take it for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(String);

impl ContainerName {
    /// The name under which the owner with this fence drives this attempt.
    #[must_use]
    pub fn for_attempt(attempt: AttemptId, fence: Fence) -> Self {
        Self(format!("{PREFIX}{attempt}-f{fence}"))
    }

    /// A name for a container that serves no attempt, e.g. `cb-preflight-…`.
    ///
    /// # Errors
    /// The text lacks the prefix `cb-`, is too long or has characters that engines refuse.
    pub fn helper(text: impl Into<String>) -> Result<Self, PlanError> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.len() > MAX_NAME_BYTES || !text.starts_with(PREFIX) || !text.chars().all(allowed) {
            return Err(PlanError::Name { given: text });
        }
        Ok(Self(text))
    }

    /// A name as an engine reports it; the operator may have chosen it.
    pub(super) fn reported(text: &str) -> Self {
        Self(text.trim_start_matches('/').to_owned())
    }

    /// Whose it is, if it is a worker's name.
    #[must_use]
    pub fn owner(&self) -> Option<(AttemptId, Fence)> {
        let (attempt, fence) = self.0.strip_prefix(PREFIX)?.rsplit_once("-f")?;
        let owner = (attempt.parse().ok()?, Fence(fence.parse().ok()?));
        // Only the one canonical spelling counts.
        (Self::for_attempt(owner.0, owner.1) == *self).then_some(owner)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The engine's full id of a container: for records, and for reading logs of containers that are not ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes the engine's text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The engine's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pinned image: an image ID (`sha256:…`) or a digest reference (`name@sha256:…`), never a movable tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

impl ImageId {
    /// Takes a pin.
    ///
    /// # Errors
    /// The text ends in no `sha256:` digest, so what it means could change.
    pub fn parse(text: impl Into<String>) -> Result<Self, PlanError> {
        let text = text.into();
        let digest = text.rsplit_once('@').map_or(text.as_str(), |(_, digest)| digest);
        let pinned = digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if pinned { Ok(Self(text)) } else { Err(PlanError::ImageNotPinned { given: text }) }
    }

    /// Whether a registry can be asked for it: an image ID says nothing about where it comes from.
    #[must_use]
    pub fn is_of_registry(&self) -> bool {
        self.0.contains('@')
    }

    /// The pin of content whose SHA-256 is known.
    pub(crate) fn of_digest(hex: &str) -> Self {
        Self(format!("sha256:{hex}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn a_workers_name_says_whose_it_is(id in any::<u128>(), fence in 1_i32..i32::MAX) {
            let attempt = AttemptId::from(Uuid::from_u128(id));
            let name = ContainerName::for_attempt(attempt, Fence(fence));
            prop_assert_eq!(name.owner(), Some((attempt, Fence(fence))));
        }
    }

    #[test]
    fn other_names_belong_to_no_attempt() {
        let attempt = "0193b3a1-0000-7000-8000-000000000001";
        for name in [
            "cb-preflight",
            &format!("cb-{attempt}"),
            &format!("cb-{attempt}-f"),
            &format!("cb-{attempt}-f+1"),
            &format!("cb-{attempt}-f01"),
            &format!("cb-{}-f1", attempt.replace('-', "")),
            &format!("x{attempt}-f1"),
        ] {
            assert_eq!(ContainerName::reported(name).owner(), None, "{name}");
        }
        assert!(ContainerName::reported(&format!("/cb-{attempt}-f7")).owner().is_some());
    }

    #[test]
    fn helper_names_are_checked() {
        assert!(ContainerName::helper("cb-preflight-1.a_b").is_ok());
        for bad in ["preflight", "cb-a/b", "cb-ä", &format!("cb-{}", "x".repeat(200))] {
            assert!(ContainerName::helper(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_pinned_images_pass() {
        let hex = "a".repeat(64);
        assert!(ImageId::parse(format!("sha256:{hex}")).is_ok());
        assert!(ImageId::parse(format!("registry.local:5000/worker@sha256:{hex}")).is_ok());
        for bad in [
            "worker:latest",
            "worker",
            "sha256:abc",
            &format!("worker@md5:{hex}"),
            &format!("sha256:{}z", &hex[1..]),
        ] {
            assert!(ImageId::parse(bad).is_err(), "{bad}");
        }
    }
}
