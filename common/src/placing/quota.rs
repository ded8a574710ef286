//! How many RunJobs of each waiting class one tick looks at.

use crate::db::waiting::WaitingClass;

/// Deals out at most `budget` heads: higher priorities first, and within one priority as evenly as the classes allow, so
/// that a long class doesn't hide a short one. The classes come by descending priority.
pub(super) fn quotas(classes: &[WaitingClass], budget: u32) -> Vec<u32> {
    let mut quotas = vec![0; classes.len()];
    let mut left = budget;
    let mut level_start = 0;
    for level in classes.chunk_by(|a, b| a.key.priority == b.key.priority) {
        let mut by_size: Vec<usize> = (level_start..level_start + level.len()).collect();
        by_size.sort_by_key(|class| classes[*class].waiting);
        let mut sharing = u32::try_from(by_size.len()).unwrap_or(u32::MAX);
        for class in by_size {
            let share = left.div_ceil(sharing.max(1));
            let quota = share.min(u32::try_from(classes[class].waiting).unwrap_or(u32::MAX));
            quotas[class] = quota;
            left -= quota;
            sharing -= 1;
        }
        level_start += level.len();
    }
    quotas
}

#[cfg(test)]
mod tests {
    use crate::db::waiting::ClassKey;

    use super::*;

    fn class(priority: i16, waiting: u64) -> WaitingClass {
        let key = ClassKey { priority, submitter: "a".into(), shape: waiting.to_string() };
        WaitingClass { key, waiting, noted: None }
    }

    #[test]
    fn quotas_by_priority_then_evenly() {
        /// Priorities and sizes, the budget, and what each gets.
        type Case = (&'static [(i16, u64)], u32, &'static [u32]);
        let cases: [Case; 8] = [
            (&[], 10, &[]),
            (&[(0, 3)], 10, &[3]),
            (&[(0, 100)], 10, &[10]),
            (&[(0, 100), (0, 2)], 10, &[8, 2]),
            (&[(0, 100), (0, 100), (0, 1)], 11, &[5, 5, 1]),
            (&[(9, 100), (0, 5)], 10, &[10, 0]),
            (&[(9, 4), (0, 100), (0, 100)], 10, &[4, 3, 3]),
            (&[(0, 5), (0, 5), (0, 5)], 2, &[1, 1, 0]),
        ];
        for (classes, budget, expected) in cases {
            let given: Vec<WaitingClass> = classes.iter().map(|(priority, n)| class(*priority, *n)).collect();
            assert_eq!(quotas(&given, budget), expected, "{classes:?} with {budget}");
        }
    }
}
