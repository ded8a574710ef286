//! The labelled samples of LogHub (Zhu, He, He, Liu and Lyu, ISSRE 2023), for whoever has fetched them: real logs of
//! real systems. They are not part of this repository, and nothing depends on them. Two details of
//! `variants` come from them: names of days and months are variables, and a quote may open a phrase.

use std::{fs, path::Path};

use anyhow::Context as _;
use cyberbrain_worker::LogGrouping;

use super::accuracy::{Accuracy, accuracy};

/// Prints the accuracy of every `*_2k.log` below the folder that has its `_structured.csv` beside it.
pub fn table(folder: &Path) -> anyhow::Result<()> {
    println!("log             accuracy  found  true");
    let mut logs = Vec::new();
    for system in fs::read_dir(folder)? {
        let system = system?;
        let name = system.file_name().to_string_lossy().into_owned();
        let log = system.path().join(format!("{name}_2k.log"));
        if log.is_file() {
            logs.push((name, log));
        }
    }
    logs.sort();
    let mut sum = 0.0;
    for (name, log) in &logs {
        let Accuracy { grouping, found, truly } = measure(log)?;
        sum += grouping;
        println!("{name:<15} {grouping:>8.4} {found:>6} {truly:>5}");
    }
    println!("{:<15} {:>8.4}", "mean", sum / logs.len().max(1) as f64);
    Ok(())
}

fn measure(log: &Path) -> anyhow::Result<Accuracy> {
    let labels = log.with_extension("log_structured.csv");
    let text = fs::read(log).with_context(|| log.display().to_string())?;
    let labels = fs::read_to_string(&labels).with_context(|| labels.display().to_string())?;
    let truth = events(&labels).context("no column EventId")?;
    let mut grouping = LogGrouping::default();
    String::from_utf8_lossy(&text).lines().for_each(|line| grouping.line(line));
    let groups = grouping.finish();
    anyhow::ensure!(groups.len() == truth.len(), "{} lines, {} labels", groups.len(), truth.len());
    Ok(accuracy(&groups, &truth))
}

/// The event of every row, numbered as they are found.
fn events(csv: &str) -> Option<Vec<usize>> {
    let mut rows = csv.lines();
    let column = cells(rows.next()?).iter().position(|cell| cell == "EventId")?;
    let mut known = Vec::new();
    rows.map(|row| {
        let event = cells(row).into_iter().nth(column)?;
        Some(known.iter().position(|one| *one == event).unwrap_or_else(|| {
            known.push(event);
            known.len() - 1
        }))
    })
    .collect()
}

/// The cells of a row, in which no cell goes over several lines.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for character in row.chars() {
        match character {
            // A doubled quote ends the quotation and begins it again.
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            other => cells.last_mut().into_iter().for_each(|cell| cell.push(other)),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_the_column_of_that_name() {
        let csv =
            "LineId,Content,EventId,EventTemplate\n1,\"a, \"\"b\"\"\",E7,a\n2,c,E2,c\n3,d,E7,\"a, <*>\"\n";
        assert_eq!(events(csv), Some(vec![0, 1, 0]));
        assert_eq!(events("LineId,Content\n1,a\n"), None);
    }
}
