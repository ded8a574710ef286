//! One finished Run as its readers get it: report in both forms, results and reports of its jobs.

use serde_json::Value;

use crate::support::Api;

/// All that a Run left.
pub struct Outcome {
    pub run: Value,
    /// The report as JSON.
    pub report: Value,
    pub markdown: String,
    api: Api,
}

impl Outcome {
    pub async fn of(api: &Api, run: &Value) -> Self {
        let path = format!("/runs/{}/report", run["id"].as_str().unwrap());
        let report = api.read(&path, "application/json").await;
        let markdown = api.read(&path, "text/markdown").await;
        Self { run: run.clone(), report: serde_json::from_str(&report).unwrap(), markdown, api: api.clone() }
    }

    /// The part of the report that is about a job.
    pub fn job(&self, key: &str) -> &Value {
        let mut jobs = self.report["jobs"].as_array().unwrap().iter();
        jobs.find(|job| job["job"] == key).unwrap_or_else(|| panic!("no {key} in {:#}", self.report))
    }

    /// An artifact of a job, by its name, from where the report says that it is.
    pub async fn artifact(&self, key: &str, name: &str) -> String {
        let artifacts = self.job(key)["artifacts"].as_array().unwrap();
        let found = artifacts.iter().find(|artifact| artifact["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} among {artifacts:?}"));
        let path = found["content"].as_str().unwrap().strip_prefix("/api/v1").unwrap();
        let text = self.api.read(path, "*/*").await;
        assert_eq!(found["size_bytes"], text.len());
        text
    }

    /// What a job found, in its own form.
    pub async fn result(&self, key: &str) -> Value {
        serde_json::from_str(&self.artifact(key, "result.json").await).unwrap()
    }
}

/// A JSON number.
pub fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}
