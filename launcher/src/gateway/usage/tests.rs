use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const CHAT: &str = r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",
    "content":"Say \"usage\": {\"prompt_tokens\": 9} \u00e9 größer","tool_calls":null},"finish_reason":"stop"}],
    "nested":{"usage":{"prompt_tokens":1,"completion_tokens":1}},
    "usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":3}}}"#;

const STREAM: &str = ": hello\r\n\r\n\
data: {\"choices\":[{\"delta\":{\"content\":\"Hé\"}}],\"usage\":null}\r\n\r\n\
event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"llo \\\"}]\"}}],\ndata: \"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\n\
data: {\"choices\": [ ], \"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":12}}\n\n\
data: [DONE]\n\n";

/// Cuts a text into pieces at these places.
fn pieces<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn watched(pieces: &[&[u8]]) -> (Option<Usage>, u64) {
    let mut watch = JsonWatch::default();
    for piece in pieces {
        watch.feed(piece);
    }
    (watch.usage(), watch.characters())
}

fn streamed(usage_events: UsageEvents, pieces: &[&[u8]]) -> (Option<Usage>, u64, Vec<u8>) {
    let mut stream = EventStream::new(usage_events);
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece)));
    }
    passed.extend_from_slice(&stream.finish());
    (stream.usage(), stream.characters(), passed)
}

const fn usage(prompt: u32, completion: u32, total: u32) -> Option<Usage> {
    Some(Usage { prompt, completion, total })
}

#[test]
fn an_answer_in_one_piece_says_what_was_used() {
    let (seen, characters) = watched(&[CHAT.as_bytes()]);
    assert_eq!(seen, usage(12, 34, 46), "not what its text pretends, nor what is nested");
    assert_eq!(characters, 42, "characters, not bytes; an escape is one");
}

#[test]
fn a_stream_says_what_was_used_in_its_last_event() {
    let (seen, characters, passed) = streamed(UsageEvents::Pass, &[STREAM.as_bytes()]);
    assert_eq!(seen, usage(5, 7, 12));
    assert_eq!(characters, 9);
    assert_eq!(passed, STREAM.as_bytes());
}

#[test]
fn an_event_that_only_says_what_was_used_is_left_out_where_nobody_asked() {
    let (seen, _, passed) = streamed(UsageEvents::Drop, &[STREAM.as_bytes()]);
    assert_eq!(seen, usage(5, 7, 12));
    let passed = String::from_utf8(passed).unwrap();
    let kept: Vec<&str> = STREAM.split("data: {\"choices\": [ ]").collect();
    assert_eq!(passed, format!("{}data: [DONE]\n\n", kept[0]));
}

#[test]
fn an_event_without_an_end_passes_at_the_end() {
    let (_, _, passed) = streamed(UsageEvents::Drop, &[b"data: {\"choices\":[", b"1"]);
    assert_eq!(passed, b"data: {\"choices\":[1");
}

#[test]
fn a_huge_event_passes_as_it_comes() {
    let mut stream = EventStream::new(UsageEvents::Drop);
    let mut passed = stream.push(Bytes::from_static(b"data: {\"choices\":[{\"text\":\"")).len();
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    for _ in 0..64 {
        passed += stream.push(piece.clone()).len();
    }
    assert!(passed > 900 * 1024, "{passed} of 1 MiB passed before the event ended");
    passed += stream.push(Bytes::from_static(b"\"}]}\n\n")).len();
    assert_eq!(passed, 27 + 64 * 16 * 1024 + 6);
    assert_eq!(stream.characters(), 64 * 16 * 1024);
}

#[test]
fn what_can_not_be_true_is_not_believed() {
    let believed = |json: &str| Usage::parse(json.as_bytes());
    assert_eq!(believed(r#"{"prompt_tokens":5,"total_tokens":5}"#), usage(5, 0, 5));
    assert_eq!(believed(r#"{"prompt_tokens":5,"completion_tokens":2}"#), usage(5, 2, 7));
    assert_eq!(believed(r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":9}"#), usage(5, 2, 9));
    for bad in [
        "{}",
        r#"{"completion_tokens":2}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":2}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":2}"#,
        r#"{"prompt_tokens":"5","completion_tokens":2}"#,
        r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":6}"#,
        r#"{"prompt_tokens":3000000000,"completion_tokens":2}"#,
        r#"{"prompt_tokens":4294967295,"completion_tokens":1}"#,
    ] {
        assert_eq!(believed(bad), None, "{bad}");
    }
}

#[test]
fn without_counts_of_the_endpoint_ours_say_that_they_are_estimates() {
    assert_eq!(Counts::of(None, 41, 4), Counts { prompt: 11, completion: 1, total: 12, estimated: true });
    assert_eq!(
        Counts::of(usage(5, 7, 12), 4_000, 4_000),
        Counts { prompt: 5, completion: 7, total: 12, estimated: false }
    );
    assert!(Counts::of(None, u64::MAX, u64::MAX).total <= i32::MAX.unsigned_abs());
}

#[test]
fn depth_and_length_are_bounded() {
    let mut watch = JsonWatch::default();
    watch.feed(&[b'['; 100_000]);
    assert_eq!(watch.usage(), None);
    let long =
        format!(r#"{{"usage":{{"x":"{}","prompt_tokens":1,"completion_tokens":1}}}}"#, "y".repeat(10_000));
    assert_eq!(watched(&[long.as_bytes()]).0, None);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_counts(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let whole = watched(&[CHAT.as_bytes()]);
        prop_assert_eq!(watched(&pieces(CHAT.as_bytes(), &cuts)), whole);
        for usage_events in [UsageEvents::Pass, UsageEvents::Drop] {
            let whole = streamed(usage_events, &[STREAM.as_bytes()]);
            prop_assert_eq!(streamed(usage_events, &pieces(STREAM.as_bytes(), &cuts)), whole);
        }
    }

    #[test]
    fn any_bytes_pass_unchanged_and_without_a_panic(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'"'), Just(b'{'), Just(b'}'), Just(b'\\'), any::<u8>()], 0..600),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let cut = pieces(&bytes, &cuts);
        let _ = watched(&cut);
        prop_assert_eq!(&streamed(UsageEvents::Pass, &cut).2, &bytes);
        // Nothing here says what was used, so nothing is left out.
        prop_assert_eq!(&streamed(UsageEvents::Drop, &cut).2, &bytes);
    }
}
