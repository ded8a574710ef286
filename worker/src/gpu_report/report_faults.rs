//! The part of the report on throttling and errors.

use std::fmt::Write as _;

use cyberbrain_core::staging::{GpuHistory, XidSeverity, xid_severity};

use super::super::{UNKNOWN, name, summary::Facts};
use crate::markdown::{counted, left, number, plain, right, table, time};

/// GPUs that are listed.
const GPUS: usize = 200;
/// Errors that are listed.
const XIDS: usize = 100;

/// What there is to say at the top: nothing if nothing was slowed or went wrong.
pub(super) fn summary(facts: &[Facts]) -> String {
    let mut out = String::new();
    let count = |holds: fn(&Facts) -> bool| facts.iter().filter(|facts| holds(facts)).count() as u64;
    let slowed = count(|facts| facts.summary.throttled.is_some_and(|told| told.samples > 0));
    if slowed > 0 {
        let _ = writeln!(
            out,
            "- {} slowed down at some time: see *Throttling and errors*.",
            counted(slowed, "GPU was", "GPUs were")
        );
    }
    let hardware = count(|facts| facts.summary.hardware_xids > 0);
    if hardware > 0 {
        let _ = writeln!(
            out,
            "- **{} an error of its hardware.** Look at it before it is used again.",
            counted(hardware, "GPU had", "GPUs had")
        );
    }
    let uncorrected = count(|facts| facts.summary.ecc_uncorrected.is_some_and(|errors| errors > 0));
    if uncorrected > 0 {
        let _ = writeln!(
            out,
            "- **{} memory errors that could not be corrected.**",
            counted(uncorrected, "GPU had", "GPUs had")
        );
    }
    out
}

/// The tables.
pub(super) fn write(gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let rows: Vec<Vec<String>> =
        gpus.iter().zip(facts).take(GPUS).map(|(gpu, facts)| row(gpu, facts)).collect();
    let columns = [
        left("GPU"),
        right("Slowed samples"),
        right("by power"),
        right("by heat"),
        right("by hardware"),
        right("by its group"),
        right("ECC corrected"),
        right("ECC uncorrected"),
        right("XIDs"),
        right("of hardware"),
    ];
    let mut out = format!(
        "## Throttling and errors\n\n{}\n*{UNKNOWN}* is what the card does not tell. ECC counts are those that came up in this \
         time, XIDs the driver's critical errors.\n\n",
        table(&columns, &rows)
    );
    let all: Vec<_> = gpus.iter().flat_map(|gpu| gpu.xids.iter().map(move |event| (gpu, event))).collect();
    if all.is_empty() {
        return out;
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(XIDS)
        .map(|(gpu, event)| {
            let whose = match xid_severity(event.xid.into()) {
                XidSeverity::Application => "a program",
                XidSeverity::Hardware => "the card",
            };
            vec![plain(&name(gpu)), time(event.at), event.xid.to_string(), whose.to_owned()]
        })
        .collect();
    let columns = [left("GPU"), left("When"), right("XID"), left("Whose fault")];
    let _ = writeln!(out, "{}", table(&columns, &rows));
    if all.len() > XIDS {
        let _ = writeln!(out, "{} more are not listed.\n", number((all.len() - XIDS) as u64));
    }
    out
}

fn row(gpu: &GpuHistory, Facts { summary, .. }: &Facts) -> Vec<String> {
    let told = |value: Option<u64>| value.map_or_else(|| UNKNOWN.to_owned(), number);
    let throttled = summary.throttled;
    vec![
        plain(&name(gpu)),
        told(throttled.map(|told| told.samples)),
        told(throttled.map(|told| told.power)),
        told(throttled.map(|told| told.heat)),
        told(throttled.map(|told| told.hardware)),
        told(throttled.map(|told| told.sync_boost)),
        told(summary.ecc_corrected),
        told(summary.ecc_uncorrected),
        number(summary.xids),
        number(summary.hardware_xids),
    ]
}
