//! The library: directives, job templates and the worker image allowlist.

mod directives;
mod images;
mod jobs;

pub use directives::{
    Directive, DirectiveFilter, DirectiveName, ListedDirective, NewDirective, directive, directive_versions,
    directives, insert_directive, lock_directive, supersede_directive,
};
pub use images::{
    AllowedImage, ImageKey, WorkerImage, WorkerImageContent, allowed_images, delete_worker_image,
    insert_worker_image, lock_worker_image, update_worker_image, worker_image, worker_images,
};
pub use jobs::{
    JobContent, JobFilter, JobTemplate, delete_job, insert_job, is_job_referenced, job, job_keys, jobs,
    jobs_named, lock_job, update_job,
};
