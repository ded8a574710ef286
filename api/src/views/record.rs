//! Keys, the audit trail and usage.

use chrono::{DateTime, Utc};
use cyberbrain_common::{
    db::{
        api_keys::KeyRow,
        audit_search::Found,
        usage::{Usage, UsageBy},
    },
    keys::{KeyText, Scope},
};
use cyberbrain_core::ids::{ApiKeyId, RunId, RunJobId};
use serde::Serialize;
use utoipa::ToSchema;

use super::run_job::AuditView;

/// An API key; its secret is nowhere.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: ApiKeyId,
    name: String,
    /// What it begins with, after `cb_`.
    prefix: String,
    scope: Scope,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scope: row.scope,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// A new key, with its text for the only time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct NewKeyView {
    /// `cb_<prefix>_<secret>`: keep it, it is not shown again.
    key: String,
    #[serde(flatten)]
    shown: KeyView,
}

impl NewKeyView {
    pub(crate) fn new(key: &KeyText, row: KeyRow) -> Self {
        Self { key: key.expose(), shown: row.into() }
    }
}

/// One page of keys, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct KeyPage {
    pub keys: Vec<KeyView>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// A record of the audit trail with what it is about.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AuditRecordView {
    run_id: Option<RunId>,
    run_job_id: Option<RunJobId>,
    #[serde(flatten)]
    record: AuditView,
}

impl From<Found> for AuditRecordView {
    fn from(Found { run, run_job, record }: Found) -> Self {
        Self { run_id: run, run_job_id: run_job, record: record.into() }
    }
}

/// One page of the audit trail, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    pub records: Vec<AuditRecordView>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// The sums of one group.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct UsageView {
    /// Id of the run, name of the directive, key of the job, the model, the endpoint, or the day.
    key: String,
    calls: i64,
    failed_calls: i64,
    /// Calls whose counts are estimates, because the endpoint gave none.
    estimated_calls: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
}

impl From<Usage> for UsageView {
    fn from(row: Usage) -> Self {
        Self {
            key: row.key,
            calls: row.calls,
            failed_calls: row.failed_calls,
            estimated_calls: row.estimated_calls,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            total_tokens: row.total_tokens,
        }
    }
}

/// Sums of tokens, the most first; days in order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct UsageList {
    by: UsageBy,
    usage: Vec<UsageView>,
}

impl UsageList {
    pub(crate) fn new(by: UsageBy, sums: Vec<Usage>) -> Self {
        Self { by, usage: sums.into_iter().map(Into::into).collect() }
    }
}
