//! Looks for planted texts wherever this process or its database could have kept them, and at its metrics.

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cyberbrain_common::db::Pool;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

static WATCH: OnceLock<Watch> = OnceLock::new();

/// The metrics of this process, counted from the first call on.
pub fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// Every log line of this process, at the finest level, of every library, passes here.
#[derive(Default)]
struct Watch {
    words: Mutex<Vec<String>>,
    lines: AtomicU64,
    found: Mutex<Vec<String>>,
}

/// Says what was found.
pub struct Kept(&'static Watch);

struct Lines;

impl Kept {
    /// From now on, all log lines and metrics of this process are looked at.
    pub fn watch_for(words: &[&str]) -> Self {
        let watch = WATCH.get_or_init(|| {
            let layer = tracing_subscriber::fmt::layer().with_writer(Lines).with_ansi(false);
            let filter = EnvFilter::new("trace");
            tracing_subscriber::registry().with(layer).with(filter).init();
            metrics();
            Watch::default()
        });
        watch.words.lock().unwrap().extend(words.iter().map(|word| (*word).to_owned()));
        Self(watch)
    }

    pub fn assert_seen_something_and_nothing_planted(&self) {
        let watch = self.0;
        assert!(watch.lines.load(Ordering::Relaxed) > 100, "logs are looked at");
        let found = watch.found.lock().unwrap();
        assert!(found.is_empty(), "in the log: {found:?}");
        let metrics = metrics().render();
        assert!(metrics.contains("cyberbrain_llm_calls_total"), "metrics are looked at:\n{metrics}");
        for word in watch.words.lock().unwrap().iter() {
            assert!(!metrics.contains(word.as_str()), "{word} is in the metrics:\n{metrics}");
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(watch) = WATCH.get() {
            watch.lines.fetch_add(1, Ordering::Relaxed);
            let line = String::from_utf8_lossy(bytes);
            if watch.words.lock().unwrap().iter().any(|word| line.contains(word.as_str())) {
                watch.found.lock().unwrap().push(line.into_owned());
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// Looks into every row of every table of the installation.
pub async fn assert_not_in_the_database(pool: &Pool, words: &[&str]) {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, tablename::text from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for (schema, table) in tables {
        let query = format!(r#"select count(*) from "{schema}"."{table}" t where strpos(t::text, $1) > 0"#);
        for word in words {
            let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
                .bind(*word)
                .fetch_one(pool)
                .await
                .unwrap();
            assert_eq!(found, 0, "{word} is in {schema}.{table}");
        }
    }
}

/// Looks into every file below.
pub fn assert_not_in_files(root: &Path, words: &[&str]) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_not_in_files(&path, words);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            for word in words {
                assert!(!text.contains(word), "{word} is in {}", path.display());
            }
        }
    }
}
