//! Texts that rows, audit and people read: shape keys, selection reasons, codes.

use super::{
    class, cpu_request, gpu, gpu_request, head, host, named, problem, several, solve, solve_one, whole_card,
};
use crate::{
    placement::{Gpu, Request, Strategy, WaitingCode},
    spec::{GpuPolicy, ImageRef, OnMiss, Resources},
};

#[test]
fn shape_keys_are_stable() {
    let pinned = Request { host: Some("alpha".into()), ..cpu_request() };
    for (request, key) in [
        (cpu_request(), "1;cpu=500;mem=512;image=17:cyberbrain-worker7:builtin"),
        (pinned, "1;cpu=500;mem=512;image=17:cyberbrain-worker7:builtin;host=5:alpha"),
        (several(2, 8_192), "1;cpu=500;mem=512;image=17:cyberbrain-worker7:builtin;gpu=require:2:8192:0"),
        (whole_card(), "1;cpu=500;mem=512;image=17:cyberbrain-worker7:builtin;gpu=require:1:whole:0"),
        (
            named("a", OnMiss::Refuse, 1),
            "1;cpu=500;mem=512;image=17:cyberbrain-worker7:builtin;gpu=require:1:1:0;on_miss=refuse;uuid=5:GPU-a",
        ),
    ] {
        assert_eq!(request.shape_key(), key, "{request:?}");
    }
}

#[test]
fn shape_keys_differ_exactly_where_placement_does() {
    let image = |name: &str, tag: &str| Request {
        image: ImageRef { name: name.into(), tag: tag.into() },
        ..cpu_request()
    };
    assert_ne!(
        image("a", "1;host=1:b").shape_key(),
        Request { host: Some("b".into()), ..image("a", "1") }.shape_key()
    );
    assert_ne!(image("a1:", "b").shape_key(), image("a", "1:b").shape_key());
    let with = |resources| Request { resources, ..cpu_request() }.shape_key();
    let plain = Resources::default();
    assert_eq!(with(Resources { shm_mib: 1, pids: 1, ..plain }), with(plain));
    assert_ne!(with(Resources { cpu_millis: 1, ..plain }), with(plain));
    assert_ne!(with(Resources { memory_mib: 1, ..plain }), with(plain));
    // Under `none` nothing else is read of the GPU request.
    assert_eq!(gpu_request(GpuPolicy::None, 8_192).shape_key(), cpu_request().shape_key());
    assert_ne!(gpu_request(GpuPolicy::Require, 1).shape_key(), gpu_request(GpuPolicy::Prefer, 1).shape_key());
}

#[test]
fn selections_read_as_the_audited_reason() {
    let a = Gpu { reserved_mib: 12_000, utilization_percent: Some(50), ..gpu("a", 0) };
    let text = |cards: Vec<Gpu>, request| solve_one(cards, request).placements[0].selection.to_string();
    assert_eq!(
        text(vec![a.clone()], gpu_request(GpuPolicy::Require, 1_024)),
        "best score: GPU-a (score 0.505, free 12085 of 24576 MiB, headroom 0.49, utilization 50 %)"
    );
    assert_eq!(
        text(vec![a.clone()], named("a", OnMiss::Auto, 1_024)),
        "explicit GPU: GPU-a (score 0.505, free 12085 of 24576 MiB, headroom 0.49, utilization 50 %)"
    );
    assert_eq!(
        text(vec![a.clone(), gpu("b", 1)], named("a", OnMiss::Auto, 16_384)),
        "wanted GPU-a (GPU-a: short 4299 MiB); best score: GPU-b (score 0.012, free 24085 of 24576 MiB, \
         headroom 0.98, utilization 0 %)"
    );
    assert_eq!(text(vec![], cpu_request()), "CPU: no GPU wanted");
    let mut packed = problem(
        vec![host(1)],
        vec![a],
        vec![class(gpu_request(GpuPolicy::Require, 1_024), vec![head(1, 1)])],
    );
    packed.options.strategy = Strategy::Pack;
    let selection = &solve(&packed).placements[0].selection;
    assert!(selection.to_string().starts_with("fullest that fits: GPU-a (score"), "{selection}");
}

#[test]
fn codes_are_short_and_unique() {
    let mut names = WaitingCode::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), WaitingCode::ALL.len());
    let plain =
        |name: &&str| name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(names.iter().all(plain), "{names:?}");
}
