//! What texts, lists and names of the library must look like.

use crate::launch::{
    Params,
    check::{check_line, check_object, check_stored},
    problem::{Pointer, Problems},
};

/// The limits. Characters are Unicode scalar values.
pub mod limit {
    use std::ops::RangeInclusive;

    pub const DESCRIPTION_CHARACTERS: usize = 1_000;
    /// Jobs that one directive lists.
    pub const LISTED_JOBS: usize = 100;
    /// A configuration, as compact JSON.
    pub const CONFIG_BYTES: usize = 65_536;
    /// Name and tag of an image with the colon.
    pub const IMAGE_CHARACTERS: usize = 356;
    pub const ALIASES: usize = 20;
    pub const ARGUMENTS: usize = 64;
    /// An argument, or the value of a variable.
    pub const ARGUMENT_CHARACTERS: usize = 4_096;
    pub const VARIABLES: usize = 64;
    /// Secrets, and model caches, of one job.
    pub const GRANTS: usize = 20;
    pub const VARIABLE_NAME_BYTES: usize = 64;
    pub const CONTAINER_NAME_CHARACTERS: usize = 255;
    pub const HOST_CHARACTERS: usize = 63;
    /// Name of a value in a result, and a name as a value.
    pub const VALUE_NAME_BYTES: usize = 64;
    pub const VALUE_NAMES: usize = 100;
    pub const CPU_MILLIS: RangeInclusive<u32> = 1..=1_024_000;
    pub const MEMORY_MIB: RangeInclusive<u32> = 16..=16_777_216;
    pub const SHM_MIB: RangeInclusive<u32> = 1..=1_048_576;
    pub const PIDS: RangeInclusive<u32> = 1..=4_194_304;
    /// A year.
    pub const QUEUE_SECONDS: RangeInclusive<u32> = 1..=31_536_000;
    pub const STOP_GRACE_SECONDS: RangeInclusive<u32> = 0..=600;
    pub const HOST_LOST_SECONDS: RangeInclusive<u32> = 30..=604_800;
    /// What a guard needs beside the stop grace.
    pub const GUARD_SECONDS: u32 = 30;
    pub const MAX_ATTEMPTS: RangeInclusive<u32> = 1..=100;
    pub const INFRA_FAILURES: RangeInclusive<u32> = 0..=100;
    pub const BACKOFF_SECONDS: RangeInclusive<u32> = 0..=300;
    pub const CONCURRENT_RUNS: RangeInclusive<u32> = 1..=10_000;
}

/// A name that also stands in a path: one line without blanks around it.
pub(super) fn check_name(name: &str, most: usize, at: &Pointer<'_>, problems: &mut Problems) {
    check_line(name, most, at, problems);
    if !name.is_empty() && name.trim() != name {
        problems.add(at, "it begins or ends with a blank");
    }
    if matches!(name, "." | "..") {
        problems.add(at, "it would be a step in a path");
    }
}

/// A text that may be empty.
pub(super) fn check_text(text: Option<&String>, most: usize, at: &Pointer<'_>, problems: &mut Problems) {
    if let Some(text) = text {
        check_stored(text, most, at, problems);
    }
}

pub(super) fn check_config(config: Option<&Params>, at: &Pointer<'_>, problems: &mut Problems) {
    let Some(config) = config else { return };
    let bytes = config.json_bytes();
    if bytes > limit::CONFIG_BYTES {
        problems.add(at, format!("it has {bytes} bytes; {} at most", limit::CONFIG_BYTES));
        return;
    }
    check_object(config.as_map(), at, problems);
}
