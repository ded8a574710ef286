//! What a launcher stages, read-only, for one worker: the files under `/input` and their types.
//!
//! Every built-in job and every custom worker image reads these and nothing else: a worker has no database
//! and no engine socket. The types say what is in a file; writing and reading JSON is done at the edges.
//! Readers ignore fields that they do not know, so that a newer launcher can stage for an older image.
//!
//! ```text
//! /input/job.json          JobInput<P>      always
//! /input/directive.md      the directive's text   always
//! /input/logs/index.json   LogIndex         jobs that read logs
//! /input/logs/<file>       log lines        one file per container of the index
//! /input/previous.json     PreviousResult   if an earlier RunJob of the same key succeeded
//! /input/gpu.json          GpuWindow        jobs that read GPU samples
//! /input/inventory.json    Inventory        jobs that read the container inventory
//! ```
//!
//! Deliberately absent: environment variables of containers, which is where passwords live.

mod faults;
mod gpu;
mod inventory;
mod job;
mod log_window;
mod logs;
mod thin;

pub use faults::{ThrottleReason, ThrottleReasons, XidSeverity, xid_severity};
pub use gpu::{
    GpuHistory, GpuOrigin, GpuReportParams, GpuSample, GpuWindow, LeaseSpan, WindowHours, XidEvent,
};
pub use inventory::{
    COMPOSE_SERVICE, ContainerState, Health, Inventory, InventoryContainer, LastExit, MapScope, Mount,
    MountAccess, MountKind, NetworkAttachment, PortProtocol, PublishedPort, ServiceMapParams,
};
pub use job::{AssignedGpu, DirectiveText, JobInput, LlmAccess, PreviousResult, Window};
pub use log_window::{AskedFrom, BadLogParams, LogParams, LogSpan, MAX_WINDOW_HOURS};
pub use logs::{
    LeftOut, LogIndex, LogLine, LogReading, LogSource, LogStream, MAX_LEFT_OUT_NAMES, MalformedLine,
    parse_line,
};
pub use thin::{MAX_STAGED_SAMPLES, Thinner, samples_per_gpu};

/// Where the staged files are, inside the container.
pub const INPUT_DIR: &str = "/input";
/// Where the worker leaves its outcome, inside the container; the only place it can write besides `/tmp`.
pub const OUTPUT_DIR: &str = "/logs";
/// Where the uploads that the RunJob asked for are, read-only, inside the container.
pub const UPLOADS_DIR: &str = "/uploads";

/// Holds [`JobInput`].
pub const JOB_FILE: &str = "job.json";
/// Holds the text of the directive, as it was when the Run was launched; `job.json` has it too.
pub const DIRECTIVE_FILE: &str = "directive.md";
/// The folder of the staged logs.
pub const LOGS_FOLDER: &str = "logs";
/// Holds [`LogIndex`]; inside [`LOGS_FOLDER`].
pub const LOG_INDEX_FILE: &str = "index.json";
/// Holds [`PreviousResult`].
pub const PREVIOUS_FILE: &str = "previous.json";
/// Holds [`GpuWindow`].
pub const GPU_FILE: &str = "gpu.json";
/// Holds [`Inventory`].
pub const INVENTORY_FILE: &str = "inventory.json";
