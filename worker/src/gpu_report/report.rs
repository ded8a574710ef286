//! The report: how the cards were used, and whether anything about it is wrong.

#[path = "report_faults.rs"]
mod faults;

use std::fmt::Write as _;

use cyberbrain_core::{
    outcome::MemorySpread,
    staging::{GpuHistory, GpuOrigin, Window},
};

use super::{
    CHART_FILE, UNKNOWN,
    load::{HOT_ABOVE_PERCENT, IDLE_BELOW_PERCENT},
    name, simulated,
    summary::Facts,
};
use crate::markdown::{code, counted, duration, left, number, plain, right, span, table, time};

/// GPUs that are listed.
const GPUS: usize = 200;
/// Leases that are listed.
const LEASES: usize = 200;
/// Hot times that are listed.
const HOT_TIMES: usize = 20;

/// Writes the report.
pub fn write(window: Window, gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let mut out = String::from("# GPU report\n\n");
    if gpus.is_empty() {
        let _ = writeln!(
            out,
            "**There is no GPU.** No launcher has reported one, so there is nothing to report for {}. \
             Launchers find GPUs through the NVIDIA driver of their host.",
            span(window.from, window.to),
        );
        return out;
    }
    out.push_str(&summary(window, gpus, facts));
    out.push_str(&overlaps(gpus, facts));
    let _ = writeln!(
        out,
        "![Memory and utilization of each GPU over time]({CHART_FILE})\n\nThe chart as a file: [{CHART_FILE}]({CHART_FILE}).\n"
    );
    out.push_str(&memory(gpus, facts));
    out.push_str(&load(gpus, facts));
    out.push_str(&hot_times(gpus, facts));
    out.push_str(&faults::write(gpus, facts));
    out.push_str(&leases(window, gpus));
    out
}

fn summary(window: Window, gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let mut hosts: Vec<&str> = gpus.iter().map(|gpu| gpu.host.as_str()).collect();
    hosts.dedup();
    let simulated = gpus.iter().filter(|gpu| gpu.origin == GpuOrigin::Simulated).count() as u64;
    let origin = match simulated {
        0 => String::new(),
        all if all == gpus.len() as u64 => ", all simulated".to_owned(),
        some => format!(", {} simulated", number(some)),
    };
    let overlaps: usize = facts.iter().map(|facts| facts.overlaps.len()).sum();
    let verdict = if overlaps == 0 {
        "At no instant did leases add up to more than a card has.".to_owned()
    } else {
        format!("**Leases added up to more than a card has, {}.**", counted(overlaps as u64, "time", "times"))
    };
    let sum = |figure: fn(&Facts) -> u64| facts.iter().map(figure).sum::<u64>();
    let (idle, reserved) = (sum(|f| f.summary.idle_reserved_seconds), sum(|f| f.summary.reserved_seconds));
    let hot = facts.iter().filter(|facts| facts.summary.hot_samples > 0).count() as u64;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "**{}** on {}{origin}, {}.\n",
        counted(gpus.len() as u64, "GPU", "GPUs"),
        counted(hosts.len() as u64, "host", "hosts"),
        span(window.from, window.to),
    );
    let _ = writeln!(out, "- {verdict}");
    let _ = writeln!(
        out,
        "- {} of {} reserved card time saw a utilization below {IDLE_BELOW_PERCENT} %{}.",
        duration(idle),
        duration(reserved),
        (idle * 100).checked_div(reserved).map_or_else(String::new, |percent| format!(" ({percent} %)")),
    );
    let unknown = sum(|f| f.summary.unknown_reserved_seconds);
    if unknown > 0 {
        let _ = writeln!(
            out,
            "- For {} of it the utilization is unknown: no sample of that time tells it.",
            duration(unknown)
        );
    }
    let _ =
        writeln!(out, "- {} above {HOT_ABOVE_PERCENT} % at some time.", counted(hot, "GPU was", "GPUs were"));
    let (untold, samples) = (sum(|f| f.summary.utilization_unknown), sum(|f| f.summary.samples));
    if untold > 0 {
        let _ = writeln!(
            out,
            "- The utilization is unknown for {} of {}.",
            number(untold),
            counted(samples, "sample", "samples")
        );
    }
    let left_out = sum(|f| f.summary.samples_left_out);
    if left_out > 0 {
        let _ = writeln!(
            out,
            "- Of {} kept samples {} are not looked at here, because there are too many: of each stretch of time the least and the \
             most busy sample are, slowed ones, and those with the extremes of memory and temperature. Extremes are exact; counts, \
             means, percentiles and times are of these.",
            number(samples + left_out),
            number(left_out)
        );
    }
    out.push_str(&faults::summary(facts));
    out.push('\n');
    out
}

fn overlaps(gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let rows: Vec<Vec<String>> = gpus
        .iter()
        .zip(facts)
        .flat_map(|(gpu, facts)| facts.overlaps.iter().map(move |overlap| (gpu, overlap)))
        .take(LEASES)
        .map(|(gpu, overlap)| {
            vec![
                plain(&name(gpu)),
                time(overlap.from),
                overlap.to.map_or_else(|| "still".to_owned(), time),
                number(overlap.reserved_mib),
                number(overlap.total_mib.into()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [left("GPU"), left("From"), left("To"), right("Reserved MiB, most"), right("Card MiB")];
    format!("## Double bookings\n\n{}\n", table(&columns, &rows))
}

fn memory(gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let rows: Vec<Vec<String>> = gpus
        .iter()
        .zip(facts)
        .take(GPUS)
        .map(|(gpu, Facts { summary, .. })| {
            vec![
                plain(&name(gpu)),
                format!("{}{}", plain(&gpu.model), simulated(gpu.origin)),
                number(gpu.total_mib.into()),
                spread(summary.used_mib),
                spread(summary.reserved_mib),
                spread(summary.foreign_mib),
                number(summary.samples),
            ]
        })
        .collect();
    let columns = [
        left("GPU"),
        left("Model"),
        right("Card MiB"),
        right("Used: min · mean · max"),
        right("Reserved: min · mean · max"),
        right("Foreign: min · mean · max"),
        right("Samples"),
    ];
    let mut out = format!("## Memory\n\n{}\n", table(&columns, &rows));
    if gpus.len() > GPUS {
        let _ =
            writeln!(out, "{} more are not listed.\n", counted((gpus.len() - GPUS) as u64, "GPU", "GPUs"));
    }
    out.push_str("*Used* is everything on the card, *reserved* is what leases held, *foreign* is the part of *used* that belongs to no worker.\n\n");
    out
}

fn load(gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let rows: Vec<Vec<String>> = gpus
        .iter()
        .zip(facts)
        .take(GPUS)
        .map(|(gpu, Facts { summary, .. })| {
            let utilization = summary.utilization_percent;
            let percent =
                |value: Option<u8>| value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value} %"));
            vec![
                plain(&name(gpu)),
                utilization.map_or_else(|| UNKNOWN.to_owned(), |spread| format!("{:.1} %", spread.mean)),
                percent(utilization.map(|spread| spread.p50)),
                percent(utilization.map(|spread| spread.p95)),
                percent(utilization.map(|spread| spread.max)),
                format!("{} of {}", number(summary.utilization_unknown), number(summary.samples)),
                number(summary.hot_samples),
                summary
                    .temperature_max_c
                    .map_or_else(|| UNKNOWN.to_owned(), |celsius| format!("{celsius} °C")),
                duration(summary.reserved_seconds),
                duration(summary.idle_reserved_seconds),
                duration(summary.unknown_reserved_seconds),
                number(summary.leases),
            ]
        })
        .collect();
    let columns = [
        left("GPU"),
        right("Utilization, mean"),
        right("p50"),
        right("p95"),
        right("max"),
        right("Unknown"),
        right("Hot samples"),
        right("Temperature, max"),
        right("Reserved"),
        right("of it idle"),
        right("of it unknown"),
        right("Leases"),
    ];
    format!(
        "## Load\n\n{}\n*Unknown* counts samples in which the card does not tell its utilization; they are neither idle nor hot. \
         *Idle* is below {IDLE_BELOW_PERCENT} %, *hot* is above {HOT_ABOVE_PERCENT} %.\n\n",
        table(&columns, &rows)
    )
}

fn hot_times(gpus: &[GpuHistory], facts: &[Facts]) -> String {
    let mut hot: Vec<_> = gpus
        .iter()
        .zip(facts)
        .flat_map(|(gpu, facts)| facts.hot_times.iter().map(move |hot| (gpu, hot)))
        .collect();
    if hot.is_empty() {
        return String::new();
    }
    hot.sort_by_key(|(_, hot)| std::cmp::Reverse(hot.span.1 - hot.span.0));
    let rows: Vec<Vec<String>> = hot
        .iter()
        .take(HOT_TIMES)
        .map(|(gpu, hot)| {
            let seconds = (hot.span.1 - hot.span.0).num_seconds().unsigned_abs();
            vec![
                plain(&name(gpu)),
                span(hot.span.0, hot.span.1),
                duration(seconds),
                number(hot.samples),
                format!("{} %", hot.peak_percent),
            ]
        })
        .collect();
    let columns = [left("GPU"), left("When"), right("For"), right("Samples"), right("Peak")];
    let mut out = format!(
        "## Hot times\n\nUtilization above {HOT_ABOVE_PERCENT} %, the longest first.\n\n{}\n",
        table(&columns, &rows)
    );
    if hot.len() > HOT_TIMES {
        let _ = writeln!(out, "{} more were shorter.\n", number((hot.len() - HOT_TIMES) as u64));
    }
    out
}

fn leases(window: Window, gpus: &[GpuHistory]) -> String {
    let all: Vec<_> = gpus.iter().flat_map(|gpu| gpu.leases.iter().map(move |lease| (gpu, lease))).collect();
    if all.is_empty() {
        return "## Who held which GPU\n\nNo RunJob held a GPU in this time.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(LEASES)
        .map(|(gpu, lease)| {
            let within = lease.to.unwrap_or(window.to).min(window.to) - lease.from.max(window.from);
            vec![
                plain(&name(gpu)),
                code(&lease.run_job_id.to_string()),
                time(lease.from),
                lease.to.map_or_else(|| "still held".to_owned(), time),
                duration(within.num_seconds().max(0).unsigned_abs()),
                number(lease.reserved_mib.into()),
            ]
        })
        .collect();
    let columns = [
        left("GPU"),
        left("RunJob"),
        left("From"),
        left("To"),
        right("In the window"),
        right("Reserved MiB"),
    ];
    let mut out = format!("## Who held which GPU\n\n{}", table(&columns, &rows));
    if all.len() > LEASES {
        let _ = writeln!(out, "\n{} more leases are not listed.", number((all.len() - LEASES) as u64));
    }
    out
}

fn spread(spread: Option<MemorySpread>) -> String {
    spread.map_or_else(
        || UNKNOWN.to_owned(),
        |MemorySpread { min, mean, max }| {
            format!("{} · {} · {}", number(min.into()), number(mean.round() as u64), number(max.into()))
        },
    )
}
