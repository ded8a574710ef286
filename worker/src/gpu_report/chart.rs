//! The chart: one lane per GPU with its memory and its utilization over the window, as a self-contained SVG.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use cyberbrain_core::staging::{GpuHistory, GpuSample, Window};

use super::{name, simulated};

const WIDTH: f64 = 960.0;
const LANE: f64 = 150.0;
const PLOT: f64 = 96.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 52.0;
const HEAD: f64 = 44.0;
/// GPUs that are drawn.
const LANES: usize = 24;
/// Errors that are marked on each.
const MARKS: usize = 50;
/// Points per line: more samples are drawn by the largest of each stretch.
const POINTS: usize = 480;

/// Readable on white and on black alike: the picture has no ground of its own.
const INK: &str = "#767676";
const GRID: &str = "stroke=\"#888888\" stroke-opacity=\"0.35\"";
const USED: &str = "#4c78a8";
const FOREIGN: &str = "#9d9d9d";
const RESERVED: &str = "#e45756";
const FAULT: &str = "#d62728";
const UTILIZATION: &str = "#54a24b";

/// Draws it.
pub fn draw(gpus: &[GpuHistory], window: Window) -> String {
    let lanes = gpus.len().min(LANES);
    let height = HEAD + LANE * lanes as f64 + 24.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>GPU memory and utilization, {} to {}</title>\n",
        window.from.format("%Y-%m-%d %H:%M:%S UTC"),
        window.to.format("%Y-%m-%d %H:%M:%S UTC"),
    );
    legend(&mut out);
    for (at, gpu) in gpus.iter().take(lanes).enumerate() {
        lane(&mut out, gpu, window, HEAD + LANE * at as f64);
    }
    if gpus.len() > lanes {
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"{}\" fill=\"{INK}\">{} more GPUs are not drawn</text>",
            height - 8.0,
            gpus.len() - lanes
        );
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    let items = [
        (USED, "memory used (GiB)"),
        (FOREIGN, "of it foreign (GiB)"),
        (RESERVED, "memory reserved (GiB)"),
        (UTILIZATION, "utilization (%)"),
        (FAULT, "▼ XID error"),
    ];
    for (at, (colour, text)) in items.into_iter().enumerate() {
        let x = LEFT + 180.0 * at as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"14\" width=\"14\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"23\" fill=\"{INK}\">{text}</text>",
            x + 20.0
        );
    }
}

fn lane(out: &mut String, gpu: &GpuHistory, window: Window, top: f64) {
    let plot = Plot { window, top: top + 20.0 };
    let title = format!("{} · {} · {} MiB{}", name(gpu), gpu.model, gpu.total_mib, simulated(gpu.origin));
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{}\" fill=\"{INK}\" font-weight=\"600\">{}</text>",
        top + 12.0,
        escape(&title)
    );
    for percent in [0, 50, 100] {
        let y = plot.y(f64::from(percent) / 100.0);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\" {GRID}/>\
             <text x=\"{}\" y=\"{text:.1}\" text-anchor=\"end\" fill=\"{INK}\">{:.1} GiB</text>\
             <text x=\"{}\" y=\"{text:.1}\" fill=\"{INK}\">{percent} %</text>",
            LEFT - 6.0,
            f64::from(gpu.total_mib) / 1024.0 * f64::from(percent) / 100.0,
            WIDTH - RIGHT + 6.0,
            end = WIDTH - RIGHT,
            text = y + 4.0,
        );
    }
    times(out, &plot);
    if gpu.samples.is_empty() {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" fill=\"{INK}\">no samples</text>",
            LEFT + 12.0,
            plot.y(0.5)
        );
        return;
    }
    let total = f64::from(gpu.total_mib.max(1));
    let share = |mib: u32| (f64::from(mib) / total).min(1.0);
    area(out, &plot, &points(&gpu.samples, |sample| share(sample.used_mib)), USED, "0.55");
    area(out, &plot, &points(&gpu.samples, |sample| share(sample.foreign_mib)), FOREIGN, "0.8");
    line(
        out,
        &plot,
        &points(&gpu.samples, |sample| share(sample.reserved_mib)),
        RESERVED,
        " stroke-dasharray=\"4 3\"",
    );
    for told in
        gpu.samples.chunk_by(|a, b| a.utilization_percent.is_some() == b.utilization_percent.is_some())
    {
        // Where it is not told, the line has a gap.
        if told[0].utilization_percent.is_some() {
            let utilization = |sample: &GpuSample| {
                f64::from(sample.utilization_percent.unwrap_or_default().min(100)) / 100.0
            };
            line(out, &plot, &points(told, utilization), UTILIZATION, "");
        }
    }
    for (x, event) in gpu.xids.iter().take(MARKS).map(|event| (plot.x(event.at), event)) {
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {:.1}l-4 -7h8z\" fill=\"{FAULT}\"><title>XID {} at {}</title></path>",
            plot.y(1.0),
            event.xid,
            event.at.format("%Y-%m-%d %H:%M:%S UTC"),
        );
    }
}

/// The axis of time: both ends and quarters of the window, UTC.
fn times(out: &mut String, plot: &Plot) {
    let Window { from, to } = plot.window;
    let (base, text) = (plot.y(0.0), plot.y(0.0) + 15.0);
    let form = if to - from > TimeDelta::hours(24) { "%m-%d %H:%M" } else { "%H:%M:%S" };
    for quarter in 0..=4 {
        let at = from + (to - from) / 4 * quarter;
        let (form, anchor) = match quarter {
            0 => ("%Y-%m-%d %H:%M UTC", "start"),
            4 => ("%Y-%m-%d %H:%M UTC", "end"),
            _ => (form, "middle"),
        };
        let x = plot.x(at);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{base:.1}\" y2=\"{:.1}\" stroke=\"{INK}\"/>\
             <text x=\"{x:.1}\" y=\"{text:.1}\" text-anchor=\"{anchor}\" fill=\"{INK}\">{}</text>",
            base + 4.0,
            at.format(form),
        );
    }
}

/// Where values are drawn.
struct Plot {
    window: Window,
    top: f64,
}

impl Plot {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let whole = (self.window.to - self.window.from).num_milliseconds().max(1) as f64;
        let share = (at - self.window.from).num_milliseconds() as f64 / whole;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, share: f64) -> f64 {
        self.top + PLOT * (1.0 - share)
    }
}

/// Times and shares; of too many samples the largest of each stretch.
fn points(samples: &[GpuSample], value: impl Fn(&GpuSample) -> f64) -> Vec<(DateTime<Utc>, f64)> {
    let stretch = samples.len().div_ceil(POINTS).max(1);
    samples.chunks(stretch).map(|part| (part[0].at, part.iter().map(&value).fold(0.0, f64::max))).collect()
}

fn path(plot: &Plot, points: &[(DateTime<Utc>, f64)]) -> String {
    points.iter().enumerate().fold(String::new(), |mut out, (at, (time, share))| {
        let command = if at == 0 { 'M' } else { 'L' };
        let _ = write!(out, "{command}{:.1} {:.1}", plot.x(*time), plot.y(*share));
        out
    })
}

fn area(out: &mut String, plot: &Plot, points: &[(DateTime<Utc>, f64)], colour: &str, opacity: &str) {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else { return };
    let base = plot.y(0.0);
    let _ = writeln!(
        out,
        "<path d=\"{}L{:.1} {base:.1}L{:.1} {base:.1}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
        path(plot, points),
        plot.x(*last),
        plot.x(*first),
    );
}

fn line(out: &mut String, plot: &Plot, points: &[(DateTime<Utc>, f64)], colour: &str, style: &str) {
    let _ = writeln!(
        out,
        "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-linejoin=\"round\"{style}/>",
        path(plot, points)
    );
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}
