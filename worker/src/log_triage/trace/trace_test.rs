use super::*;

fn join(text: &str) -> Vec<Entry> {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    for line in text.lines() {
        joiner.push(None, line, |entry| out.push(entry));
    }
    joiner.finish(|entry| out.push(entry));
    out
}

/// What surrounds a trace has to stay what it is.
fn traced(trace: &str) -> (String, Trace) {
    let entries = join(&format!("INFO before\n{trace}\nINFO after\nINFO later"));
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(entries.len(), 4, "{texts:#?}");
    assert_eq!((texts[0], texts[2], texts[3]), ("INFO before", "INFO after", "INFO later"));
    let entry = entries.into_iter().nth(1).unwrap();
    (entry.text, entry.trace.unwrap())
}

#[test]
fn python() {
    let (text, trace) = traced(
        "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in <module>\n    main()\n  File \"/app/b.py\", line 7, in main\n    raise ValueError(\"x\")\nValueError: no such thing",
    );
    assert_eq!(text, "ValueError: no such thing");
    assert_eq!((trace.language, trace.exception.as_str()), (TraceLanguage::Python, "ValueError"));
    assert_eq!((trace.frame.as_str(), trace.line_count), ("main in /app/b.py", 6));
}

#[test]
fn python_with_a_cause() {
    let (text, trace) = traced(
        "2026 ERROR x Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'k'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in g\napp.errors.NotFound: gone\n",
    );
    assert_eq!(
        (text.as_str(), trace.exception.as_str(), trace.frame.as_str()),
        ("app.errors.NotFound: gone", "app.errors.NotFound", "g in b.py")
    );
    assert_eq!(trace.line_count, 10, "blank lines at the end belong to it as well");
}

#[test]
fn java_with_a_cause() {
    let (text, trace) = traced(
        "Exception in thread \"main\" com.shop.CartException: can't add\n\tat com.shop.Cart.add(Cart.java:12)\n\tat com.shop.Main.main(Main.java:3)\nCaused by: java.lang.NullPointerException: item\n\tat com.shop.Item.price(Item.java:9)\n\t... 2 more",
    );
    assert_eq!(text, "java.lang.NullPointerException: item");
    assert_eq!(
        (trace.language, trace.exception.as_str()),
        (TraceLanguage::Java, "java.lang.NullPointerException")
    );
    assert_eq!((trace.frame.as_str(), trace.line_count), ("com.shop.Item.price", 6));
}

#[test]
fn javascript() {
    let (text, trace) = traced(
        "TypeError: Cannot read properties of undefined (reading 'id')\n    at getUser (/app/src/user.js:10:15)\n    at async handle (/app/src/server.js:22:3)",
    );
    assert_eq!(text, "TypeError: Cannot read properties of undefined (reading 'id')");
    assert_eq!(
        (trace.language, trace.exception.as_str(), trace.frame.as_str()),
        (TraceLanguage::JavaScript, "TypeError", "getUser")
    );
}

#[test]
fn go() {
    let (text, trace) = traced(
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.pick(...)\n\t/src/main.go:9\nmain.main()\n\t/src/main.go:14 +0x1d\nexit status 2",
    );
    assert_eq!(text, "panic: runtime error: index out of range [5] with length 3");
    assert_eq!(
        (trace.language, trace.exception.as_str(), trace.frame.as_str()),
        (TraceLanguage::Go, "panic", "main.pick")
    );
    assert_eq!(trace.line_count, 8);
}

#[test]
fn rust() {
    let (text, trace) = traced(
        "thread 'main' (17) panicked at src/main.rs:5:10:\ncalled `Option::unwrap()` on a `None` value\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/abc/library/std/src/panicking.rs:1:5\n   1: app::main\n             at ./src/main.rs:5:10\nnote: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
    );
    assert_eq!(text, "panicked at src/main.rs: called `Option::unwrap()` on a `None` value");
    assert_eq!(
        (trace.language, trace.exception.as_str(), trace.frame.as_str()),
        (TraceLanguage::Rust, "panic", "src/main.rs")
    );
    let (text, _) =
        traced("thread 'w-3' panicked at 'boom', src/old.rs:1:2\nnote: run with `RUST_BACKTRACE=1`");
    assert_eq!(text, "panicked at src/old.rs: boom");
}

#[test]
fn two_traces_in_a_row_are_two() {
    let one = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'k'\n";
    let entries = join(&one.repeat(3));
    assert_eq!(entries.iter().filter(|entry| entry.trace.is_some()).count(), 3);
}

#[test]
fn what_only_looks_like_a_trace_stays_lines() {
    for text in [
        "panic: this is only a word\nINFO next",
        "  at noon we met\nx",
        "goroutine pool started\nx",
        "INFO a\n   indented\nINFO b",
    ] {
        let entries = join(text);
        assert_eq!(entries.len(), text.lines().count(), "{entries:#?}");
        assert!(entries.iter().all(|entry| entry.trace.is_none()));
    }
}

#[test]
fn an_endless_trace_is_bounded() {
    let mut joiner = Joiner::default();
    let mut given = Vec::new();
    joiner.push(None, "Traceback (most recent call last):", |entry| given.push(entry));
    for _ in 0..3 * MAX_TRACE_LINES {
        joiner.push(None, &format!("  {}", "x".repeat(10_000)), |entry| given.push(entry));
    }
    joiner.finish(|entry| given.push(entry));
    let trace = given[0].trace.as_ref().unwrap();
    assert_eq!((trace.line_count as usize, trace.lines.len()), (MAX_TRACE_LINES, KEPT_LINES));
    assert!(trace.lines.iter().all(|line| line.chars().count() <= KEPT_CHARACTERS + 1));
}

#[test]
fn a_cut_trace_still_counts() {
    let entries = join("Traceback (most recent call last):\n  File \"a.py\", line 1, in f");
    let trace = entries[0].trace.as_ref().unwrap();
    assert_eq!((trace.exception.as_str(), trace.frame.as_str()), ("unknown", "f in a.py"));
    assert_eq!(entries.len(), 1);
}

#[test]
fn a_trace_inside_a_field() {
    let trace =
        within("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'k'").unwrap();
    assert_eq!(trace.exception, "KeyError");
    assert_eq!(within("just a text"), None);
}
