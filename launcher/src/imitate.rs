//! What workers on simulated hosts "leave": results of the right kind with nothing in them, so that the protocol can
//! be played to its end. No figure in them is made up.

use chrono::Utc;
use cyberbrain_core::{
    job_kind::JobKind,
    outcome::{
        CustomResult, CustomValue, GpuReport, JobResult, LogTriage, ModelOpinion, REPORT_FILE, RESULT_FILE,
        ServiceMap, SeverityCounts,
    },
    staging::{MapScope, Window},
};

use crate::runtime::{ContainerPlan, OutputFile, Purpose};

/// The files of one success.
pub(crate) fn outputs(plan: &ContainerPlan) -> Vec<OutputFile> {
    let task_key = match &plan.labels.purpose {
        Purpose::Worker(worker) => worker.task_key.as_str(),
        Purpose::Helper { .. } => "",
    };
    let result =
        serde_json::to_vec(&result(JobKind::of(task_key))).expect("results serialize: all keys are text");
    let report = b"# Simulated\n\nNothing ran: this host is simulated.\n".to_vec();
    vec![
        OutputFile { name: RESULT_FILE.to_owned(), bytes: result },
        OutputFile { name: REPORT_FILE.to_owned(), bytes: report },
    ]
}

fn result(kind: JobKind) -> JobResult {
    let now = Utc::now();
    match kind {
        JobKind::LogTriage => JobResult::LogTriage(LogTriage {
            window: None,
            compared_with: None,
            entries: 0,
            lines: 0,
            bytes: 0,
            malformed_lines: 0,
            cut_lines: 0,
            severities: SeverityCounts::default(),
            sources: Vec::new(),
            sources_left_out: 0,
            containers_left_out: 0,
            templates: Vec::new(),
            templates_left_out: 0,
            untemplated_entries: 0,
            stack_traces: Vec::new(),
            stack_traces_left_out: 0,
            findings: Vec::new(),
            findings_left_out: 0,
            model: ModelOpinion::default(),
        }),
        JobKind::GpuReport => JobResult::GpuReport(GpuReport {
            window: Window { from: now, to: now },
            gpus: Vec::new(),
            gpus_left_out: 0,
            overlaps: Vec::new(),
            overlaps_left_out: 0,
        }),
        JobKind::ServiceMap => JobResult::ServiceMap(ServiceMap {
            taken_at: now,
            host: "simulated".to_owned(),
            services: Vec::new(),
            services_left_out: 0,
            edges: Vec::new(),
            edges_left_out: 0,
            networks: 0,
            scope: MapScope::All,
            not_shown: 0,
            compared_with: None,
            changes: Vec::new(),
            changes_left_out: 0,
        }),
        JobKind::Custom => JobResult::Custom(CustomResult {
            values: [("simulated".to_owned(), CustomValue::Bool(true))].into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use cyberbrain_core::{job_kind::JobKind, outcome::validate};

    use super::result;

    #[test]
    fn every_result_is_one_that_is_taken() {
        for &kind in JobKind::ALL {
            assert_eq!((result(kind).kind(), validate(&result(kind))), (kind, Ok(())));
        }
    }
}
