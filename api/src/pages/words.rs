//! Amounts and moments as people read them.

use chrono::{DateTime, Utc};

/// From the one to the other, in words.
pub(super) fn took(from: Option<&DateTime<Utc>>, to: Option<&DateTime<Utc>>) -> String {
    let Some((from, to)) = from.zip(to) else { return "–".to_owned() };
    let seconds = (*to - *from).num_milliseconds().max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A word of a closed list, as people write it.
pub(super) fn spelled(word: &str) -> String {
    word.replace('_', " ")
}

/// As people write sizes.
pub(super) fn size(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let bytes = bytes as f64;
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes, 0);
    while amount >= 1_024.0 && unit + 1 < units.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{amount:.0} B") } else { format!("{amount:.1} {}", units[unit]) }
}

/// The file's own name.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A moment as people read it.
pub(super) fn when(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// MiB in GiB.
pub(super) fn gib(mib: impl Into<f64>) -> String {
    format!("{:.1}", mib.into() / 1_024.0)
}

/// Thousandths of a CPU in CPUs.
pub(super) fn cpus(millis: i32) -> String {
    format!("{:.1}", f64::from(millis) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_and_sizes_are_in_words() {
        let now = DateTime::UNIX_EPOCH;
        let after = |seconds| took(Some(&now), Some(&(now + TimeDelta::seconds(seconds))));
        assert_eq!(
            [after(-1), after(59), after(61), after(7_325)],
            ["0 s", "59 s", "1 min 01 s", "2 h 02 min"]
        );
        assert_eq!(took(Some(&now), None), "–");
        assert_eq!(
            [size(0), size(1_023), size(1_536), size(5 << 30)],
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
        assert_eq!([file_name("a/b/c.txt"), file_name("c")], ["c.txt", "c"]);
        assert_eq!([gib(512), cpus(1_500)], ["0.5", "1.5"]);
        assert_eq!(spelled("awaiting_approval"), "awaiting approval");
        assert_eq!(when(&now), "1970-01-01 00:00:00");
    }
}
