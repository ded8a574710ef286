//! Grouping accuracy as the benchmarks of LogHub count it: a line is right only if its group holds exactly the lines of
//! its true template.

use std::collections::{HashMap, HashSet};

/// How well lines were grouped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Share of the lines that are right, 0 to 1.
    pub grouping: f64,
    pub found: usize,
    pub truly: usize,
}

/// Compares groups with the truth, line by line. A line without a group is wrong.
pub fn accuracy(groups: &[Option<usize>], truth: &[usize]) -> Accuracy {
    let mut of_group: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut of_truth: HashMap<usize, usize> = HashMap::new();
    for (group, truly) in groups.iter().zip(truth) {
        *of_truth.entry(*truly).or_default() += 1;
        if let Some(group) = group {
            of_group.entry(*group).or_default().push(*truly);
        }
    }
    let right: usize = of_group
        .values()
        .filter(|lines| {
            let kinds: HashSet<usize> = lines.iter().copied().collect();
            kinds.len() == 1 && of_truth.get(&lines[0]) == Some(&lines.len())
        })
        .map(Vec::len)
        .sum();
    let lines = truth.len().max(groups.len()).max(1);
    Accuracy { grouping: right as f64 / lines as f64, found: of_group.len(), truly: of_truth.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_right_only_in_exactly_its_group() {
        let truth = [0, 0, 0, 1, 1, 2];
        let some = |groups: [usize; 6]| groups.map(Some);
        for (groups, expected) in [
            (some([7, 7, 7, 8, 8, 9]), 1.0),
            (some([7, 7, 8, 9, 9, 5]), 0.5),
            (some([7, 7, 7, 8, 8, 8]), 0.5),
            (some([7, 7, 7, 7, 7, 7]), 0.0),
            ([Some(7), Some(7), Some(7), None, None, Some(9)], 4.0 / 6.0),
        ] {
            assert!((accuracy(&groups, &truth).grouping - expected).abs() < 1e-9, "{groups:?}");
        }
        assert_eq!(accuracy(&[], &[]).found, 0);
        assert!(accuracy(&[Some(1)], &[0, 0]).grouping < 1.0, "a lost line is wrong");
    }
}
