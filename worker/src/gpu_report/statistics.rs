//! Mean, extremes and percentiles of whole numbers.

use cyberbrain_core::outcome::{MemorySpread, UtilizationSpread};

/// Extremes and mean; `None` of nothing.
pub fn memory(values: impl Iterator<Item = u32> + Clone) -> Option<MemorySpread> {
    Some(MemorySpread {
        min: values.clone().min()?,
        mean: mean(values.clone().map(u64::from))?,
        max: values.max()?,
    })
}

/// Mean and percentiles; `None` of nothing.
pub fn utilization(values: impl Iterator<Item = u8>) -> Option<UtilizationSpread> {
    let mut sorted: Vec<u8> = values.collect();
    sorted.sort_unstable();
    Some(UtilizationSpread {
        mean: mean(sorted.iter().map(|&value| u64::from(value)))?,
        p50: nearest_rank(&sorted, 50)?,
        p95: nearest_rank(&sorted, 95)?,
        max: *sorted.last()?,
    })
}

/// The mean to one decimal.
fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0_u64, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| (sum as f64 * 10.0 / count as f64).round() / 10.0)
}

/// The smallest value that at least `percent` of all do not exceed.
fn nearest_rank(sorted: &[u8], percent: usize) -> Option<u8> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_known_numbers() {
        assert_eq!(memory([10, 20, 60].into_iter()), Some(MemorySpread { min: 10, mean: 30.0, max: 60 }));
        assert_eq!(memory([1, 2].into_iter()).unwrap().mean, 1.5);
        assert_eq!(memory([].into_iter()), None);
        let hundred = utilization(1..=100).unwrap();
        assert_eq!(hundred, UtilizationSpread { mean: 50.5, p50: 50, p95: 95, max: 100 });
        assert_eq!(
            utilization([7].into_iter()),
            Some(UtilizationSpread { mean: 7.0, p50: 7, p95: 7, max: 7 })
        );
        assert_eq!(utilization([0, 100].into_iter()).unwrap().p50, 0);
        assert_eq!(utilization([].into_iter()), None);
    }
}
