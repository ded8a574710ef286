//! What clients read: the bodies of successful answers, and how they follow from rows.

mod allowlist;
mod bulk;
mod container;
mod event;
mod explain;
mod library;
mod machine;
mod record;
mod report;
mod run;
mod run_job;
mod upload;
mod worker;

pub(crate) use allowlist::{AllowedContainerPage, AllowedContainerView, WorkerImagePage, WorkerImageView};
pub(crate) use bulk::BulkView;
pub(crate) use container::ContainerPage;
pub(crate) use event::EventView;
pub(crate) use explain::ExplainView;
pub(crate) use library::{DirectivePage, DirectiveView, JobPage, JobView};
pub(crate) use machine::{GpuList, GpuView, HostDetail, HostList, HostView};
pub(crate) use record::{AuditPage, AuditRecordView, KeyPage, KeyView, NewKeyView, UsageList};
pub(crate) use report::{ReportJson, ReportView};
pub(crate) use run::{ArtifactPage, ArtifactView, RunPage, RunSummary, RunView};
pub(crate) use run_job::{RunJobDetail, RunJobView};
pub(crate) use upload::{UploadPage, UploadView};
pub(crate) use worker::{QueueView, WorkerPage};
