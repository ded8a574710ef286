//! The shape key: one stable text per kind of request, for grouping waiting RunJobs in SQL.
//!
//! Two requests have the same key exactly if placement cannot tell them apart. Sizes that placement does not
//! read (`/dev/shm`, process limit) are left out. The text is stored in rows: change it only with a new prefix.

use std::fmt::Write as _;

use super::problem::Request;
use crate::spec::GpuChoice;

impl Request {
    /// The stable text of everything that placement reads of this request.
    #[must_use]
    pub fn shape_key(&self) -> String {
        let mut key = format!("1;cpu={};mem={}", self.resources.cpu_millis, self.resources.memory_mib);
        push_text(&mut key, ";image=", &self.image.name);
        push_text(&mut key, "", &self.image.tag);
        if let Some(host) = &self.host {
            push_text(&mut key, ";host=", host);
        }
        if self.wants_gpu() {
            push_gpu(&mut key, self);
        }
        key
    }
}

fn push_gpu(key: &mut String, request: &Request) {
    let gpu = &request.gpu;
    push(key, format_args!(";gpu={}:{}", gpu.policy, request.cards()));
    match request.stated_vram_mib() {
        Some(mib) => push(key, format_args!(":{mib}")),
        None => key.push_str(":whole"),
    }
    push(key, format_args!(":{}", gpu.prefer_wait_seconds));
    match &gpu.choice {
        GpuChoice::Any => {}
        GpuChoice::Uuid { uuid, on_miss } => {
            push(key, format_args!(";on_miss={on_miss}"));
            push_text(key, ";uuid=", uuid.as_str());
        }
        GpuChoice::Index { index, host, on_miss } => {
            push(key, format_args!(";on_miss={on_miss};index={index}"));
            if let Some(host) = host {
                push_text(key, ";on=", host);
            }
        }
    }
}

/// Free text with its length in front, so that no name can imitate a delimiter.
fn push_text(key: &mut String, label: &str, text: &str) {
    push(key, format_args!("{label}{}:{text}", text.len()));
}

fn push(key: &mut String, text: std::fmt::Arguments<'_>) {
    key.write_fmt(text).expect("writing to a String cannot fail");
}
