//! What a client asks for: the launch request, as REST and MCP read it.
//!
//! Unknown fields are refused while reading. Limits and meaning are looked at by `check` and `plan`.

use cyberbrain_core::{
    ids::{GpuUuid, UploadId},
    spec::GpuPolicy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    describe::{line, lines, optional_line, optional_text},
    object::object_only,
    params::Params,
};

/// The limits of a request. Characters are Unicode scalar values.
pub mod limit {
    use std::ops::RangeInclusive;

    /// RunJobs of one Run.
    pub const RUN_JOBS: usize = 10_000;
    /// Each `params`, as compact JSON.
    pub const PARAMS_BYTES: usize = 256 * 1024;
    pub const TAGS: usize = 32;
    pub const TAG_CHARACTERS: usize = 64;
    /// Name of a directive.
    pub const DIRECTIVE_CHARACTERS: usize = 255;
    pub const DIRECTIVE_TEXT_CHARACTERS: usize = 65_536;
    /// Key of a job.
    pub const JOB_CHARACTERS: usize = 50;
    /// Name of a RunJob.
    pub const NAME_CHARACTERS: usize = 200;
    /// Uploads that one RunJob may read.
    pub const INPUTS: usize = 100;
    pub const PRIORITY: RangeInclusive<i32> = -100..=100;
    /// A week.
    pub const TIMEOUT_SECONDS: RangeInclusive<u32> = 1..=604_800;
    pub const GPUS: RangeInclusive<u32> = 1..=64;
    /// Up to 2 TiB.
    pub const VRAM_MIB: RangeInclusive<u32> = 1..=2_097_152;
    pub const GPU_INDEX: RangeInclusive<u32> = 0..=1_023;
    /// A day.
    pub const PREFER_WAIT_SECONDS: RangeInclusive<u32> = 0..=86_400;
    /// A GPU's UUID or a host's name.
    pub const PLACE_CHARACTERS: usize = 255;
}

/// One launch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct LaunchRequest {
    /// A directive type (`D1` … `D4`: the built-in one of that type) or a directive's name. Without it: what the jobs
    /// have as their default if that is the same for all, else `D4`.
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ limit::DIRECTIVE_CHARACTERS }>)]
    pub directive: Option<String>,
    /// Keys of jobs, one RunJob each. Without `jobs` and `run_jobs`: all jobs that the directive lists.
    #[serde(default)]
    #[schema(schema_with = lines::<{ limit::RUN_JOBS }, { limit::JOB_CHARACTERS }>)]
    pub jobs: Vec<String>,
    /// RunJobs with settings of their own, instead of `jobs`.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    pub run_jobs: Vec<RunJobRequest>,
    /// For all RunJobs; a RunJob's own params go before these, key by key.
    #[serde(default)]
    pub params: Option<Params>,
    /// -100 to 100; a higher number goes first.
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: i32,
    #[serde(default)]
    #[schema(schema_with = lines::<{ limit::TAGS }, { limit::TAG_CHARACTERS }>)]
    pub tags: Vec<String>,
    /// Takes the place of the directive's text; its rules stay. The snapshot is named `custom`.
    #[serde(default)]
    #[schema(schema_with = optional_text::<{ limit::DIRECTIVE_TEXT_CHARACTERS }>)]
    pub custom_directive_text: Option<String>,
}

/// One RunJob.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RunJobRequest {
    /// Key of a job, e.g. `log_triage`, or one of its aliases.
    #[schema(schema_with = line::<{ limit::JOB_CHARACTERS }>)]
    pub job: String,
    /// Shown to people; without it the job's name.
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ limit::NAME_CHARACTERS }>)]
    pub name: Option<String>,
    #[serde(default)]
    pub params: Option<Params>,
    /// Uploads that the worker may read.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub inputs: Vec<UploadId>,
    /// Without it the Run's.
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i32>,
    /// Longest run of the worker; without it the job's.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    pub timeout_seconds: Option<u32>,
    #[serde(default)]
    pub gpu: Option<GpuWish>,
}

/// What a RunJob asks of GPUs. What is left out comes from the job, then from the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct GpuWish {
    #[serde(default)]
    pub policy: Option<GpuPolicy>,
    /// Cards, all on one host.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    pub count: Option<u32>,
    /// On each card.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_097_152)]
    pub min_vram_mib: Option<u32>,
    /// This card.
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ limit::PLACE_CHARACTERS }>)]
    pub uuid: Option<GpuUuid>,
    /// The card with this index, on `host` if that is given.
    #[serde(default)]
    #[schema(maximum = 1_023)]
    pub index: Option<u32>,
    #[serde(default)]
    #[schema(schema_with = optional_line::<{ limit::PLACE_CHARACTERS }>)]
    pub host: Option<String>,
    /// Fail instead of taking another card than the named one.
    #[serde(default)]
    pub strict: Option<bool>,
    /// How long `prefer` waits for a GPU before it takes a CPU place.
    #[serde(default)]
    #[schema(maximum = 86_400)]
    pub prefer_wait_seconds: Option<u32>,
}

object_only!(LaunchRequest, RunJobRequest, GpuWish);
