//! Tables of a Markdown report, read back.

use std::collections::BTreeMap;

/// Rows of the first table below a heading, each by the titles of its columns.
pub fn table(report: &str, heading: &str) -> Vec<BTreeMap<String, String>> {
    let (_, below) = report.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| {
        panic!("no {heading:?} in\n{report}");
    });
    let below = below.split_once("\n#").map_or(below, |(section, _)| section);
    let mut lines = below.lines().skip_while(|line| !line.starts_with('|'));
    let titles = cells(lines.next().unwrap_or_else(|| panic!("no table below {heading:?} in\n{report}")));
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| titles.iter().cloned().zip(cells(line)).collect())
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    // An escaped bar is none.
    let inner = inner.replace("\\|", "\u{1}");
    inner.split('|').map(|cell| plain(&cell.replace('\u{1}', "|"))).collect()
}

/// A cell without what only marks it.
fn plain(cell: &str) -> String {
    cell.trim().trim_matches('`').trim_matches('*').replace('\\', "")
}

/// A number as reports write it.
pub fn number(cell: &str) -> u64 {
    let digits = cell.replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}
