//! Looks for planted texts wherever an installation could have kept them.

use std::path::Path;

use super::Installation;

/// In no row of any table.
pub async fn in_no_table(up: &Installation, words: &[&str]) {
    let pool = up.pool();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, tablename::text from pg_tables \
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for (schema, table) in tables {
        let query = format!(r#"select count(*) from "{schema}"."{table}" t where strpos(t::text, $1) > 0"#);
        for word in words {
            let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone())).bind(*word);
            let found: i64 = query.fetch_one(&pool).await.unwrap();
            assert_eq!(found, 0, "{word} is in {schema}.{table}");
        }
    }
}

/// In no file of the data directory: logs of all processes and workers, artifacts. How many were looked at. The database's own
/// are left out: they are looked at as tables.
pub fn in_no_file(directory: &Path, words: &[&str]) -> u64 {
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "postgres" {
                seen += in_no_file(&path, words);
            }
        } else if let Ok(bytes) = std::fs::read(&path) {
            seen += 1;
            let text = String::from_utf8_lossy(&bytes);
            for word in words {
                assert!(!text.contains(word), "{word} is in {}", path.display());
            }
        }
    }
    seen
}

/// In no metric of any process; all of them, for a closer look.
pub async fn in_no_metric(up: &Installation, words: &[&str]) -> String {
    let launchers = "select metrics_url from launchers where state = 'live' and metrics_url is not null";
    let mut urls: Vec<String> = sqlx::query_scalar(launchers).fetch_all(&up.pool()).await.unwrap();
    urls.extend(
        ["api", "scheduler", "guard"].map(|role| up.ready["metrics"][role][0].as_str().unwrap().to_owned()),
    );
    let mut all = String::new();
    for url in urls {
        all.push_str(&up.api.text(&url).await.unwrap());
    }
    in_no_answer(&[all.clone()], words);
    all
}

/// In none of these.
pub fn in_no_answer(answers: &[String], words: &[&str]) {
    for word in words {
        let found = answers.iter().find(|answer| answer.contains(word));
        assert!(found.is_none(), "{word} is in {found:?}");
    }
}
