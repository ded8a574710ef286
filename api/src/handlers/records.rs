//! What was done and what was used: the audit trail as pages and as an export, and sums of tokens.

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use cyberbrain_common::db::{
    audit_search::{AuditFilter, search},
    usage::{Usage, UsageBy, usage},
};
use futures::stream::try_unfold;

use super::runs::{link_to_next, next_cursor};
use crate::{
    app::App,
    extract::{Cursor, Form, Query, Time, accepted_form},
    problem::Problem,
    views::{AuditPage, AuditRecordView, UsageList},
};

pub(crate) const MOST_PER_PAGE: i64 = 1_000;
pub(crate) const PER_PAGE: i64 = 100;
/// Rows of an export that are in memory at once.
const EXPORTED_AT_ONCE: i64 = 1_000;
/// Groups of one answer.
const MOST_GROUPS: i64 = 10_000;

fn filter(query: &mut Query) -> AuditFilter {
    AuditFilter {
        run: query.take("run"),
        run_job: query.take("run_job"),
        attempt: query.take("attempt"),
        operation: query.take("operation"),
        actor: query.take("actor"),
        host: query.take("host"),
        from: query.take::<Time>("from").map(|time| time.0),
        to: query.take::<Time>("to").map(|time| time.0),
    }
}

/// `GET /api/v1/audit`.
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    mut query: Query,
) -> Result<(HeaderMap, Json<AuditPage>), Problem> {
    let filter = filter(&mut query);
    let limit = query.take_limit(MOST_PER_PAGE, PER_PAGE);
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let after = cursor.map(|cursor| cursor.0);
    let mut rows = search(&mut *app.connection().await?, &filter, after, limit + 1).await?;
    let next_cursor = next_cursor(&mut rows, limit, |row| Cursor::new(row.record.at, row.record.id));
    let headers = link_to_next("/api/v1/audit", raw.as_deref(), next_cursor.as_deref());
    let records = rows.into_iter().map(Into::into).collect();
    Ok((headers, Json(AuditPage { records, next_cursor })))
}

/// `GET /api/v1/audit/export`: all of it, a line each, read page by page while the client reads.
pub(crate) async fn export(State(app): State<App>, mut query: Query) -> Result<Response, Problem> {
    let filter = filter(&mut query);
    query.finish()?;
    let place = app.slots().transfer()?;
    // The first page decides the status; the others come while the answer is read.
    let first = search(&mut *app.connection().await?, &filter, None, EXPORTED_AT_ONCE).await?;
    let pages = try_unfold((app, filter, Some(first), place), async |(app, filter, page, place)| {
        let Some(rows) = page else { return Ok(None) };
        let whole = i64::try_from(rows.len()).is_ok_and(|count| count == EXPORTED_AT_ONCE);
        let last = rows.last().filter(|_| whole).map(|row| Cursor::new(row.record.at, row.record.id).0);
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, &AuditRecordView::from(row))?;
            lines.push(b'\n');
        }
        let next = match last {
            Some(last) => {
                let mut connection =
                    app.connection().await.map_err(|problem| std::io::Error::other(problem.detail))?;
                let found = search(&mut connection, &filter, Some(last), EXPORTED_AT_ONCE).await;
                Some(found.map_err(std::io::Error::other)?)
            }
            None => None,
        };
        Ok::<_, std::io::Error>(Some((Bytes::from(lines), (app, filter, next, place))))
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let name = HeaderValue::from_static("attachment; filename=\"audit.ndjson\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// `GET /api/v1/usage`.
pub(crate) async fn sums(
    State(app): State<App>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let by = query.take("by").unwrap_or(UsageBy::Day);
    let from = query.take::<Time>("from").map(|time| time.0);
    let to = query.take::<Time>("to").map(|time| time.0);
    query.finish()?;
    let form = accepted_form(&headers, [Form::Json, Form::Csv])?;
    let sums = usage(&mut *app.connection().await?, by, from, to, MOST_GROUPS).await?;
    Ok(match form {
        Form::Json | Form::Markdown | Form::Html => Json(UsageList::new(by, sums)).into_response(),
        Form::Csv => {
            let csv = HeaderValue::from_static("text/csv; charset=utf-8");
            ([(header::CONTENT_TYPE, csv)], csv_of(by, &sums)).into_response()
        }
    })
}

/// RFC 4180.
fn csv_of(by: UsageBy, sums: &[Usage]) -> String {
    let mut text =
        format!("{by},calls,failed_calls,estimated_calls,prompt_tokens,completion_tokens,total_tokens\r\n");
    for row in sums {
        let Usage {
            calls,
            failed_calls,
            estimated_calls,
            prompt_tokens,
            completion_tokens,
            total_tokens,
            ..
        } = row;
        text.push_str(&cell(&row.key));
        text.push_str(&format!(
            ",{calls},{failed_calls},{estimated_calls},{prompt_tokens},{completion_tokens},{total_tokens}\r\n"
        ));
    }
    text
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let defused =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    format!("\"{}\"", defused.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_quoted_and_defused() {
        for (given, expected) in [
            ("llama", "\"llama\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-x", "\"'-x\""),
        ] {
            assert_eq!(cell(given), expected);
        }
    }
}
