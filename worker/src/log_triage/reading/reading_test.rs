use proptest::prelude::*;

use super::*;
use Severity::{Debug, Error, Fatal, Info, Unstated, Warning};

fn check(cases: &[(&str, Severity, &str)]) {
    for (line, severity, message) in cases {
        let reading = read(line);
        assert_eq!((reading.severity, reading.message.as_ref()), (*severity, *message), "for {line:?}");
    }
}

#[test]
fn level_words() {
    check(&[
        ("2026-01-12 06:25:41,123 ERROR app.db: lost it", Error, "app.db: lost it"),
        ("2026-01-12T06:25:41.123456Z  WARN app: slow", Warning, "app: slow"),
        ("[2026-01-12 06:25:41 +0000] [17] [INFO] Booting worker", Info, "Booting worker"),
        ("06:25:41 DEBUG x", Debug, "x"),
        ("Jan 12 06:25:41 host sshd[7]: Failed password", Unstated, "host sshd[7]: Failed password"),
        ("[Mon Jan 12 06:25:41.123 2026] [core:error] [pid 7] AH00037: no link", Error, "AH00037: no link"),
        (
            "[Mon Jan 12 06:25:41.1 2026] [proxy:error] [pid 6:tid 31] [client 10.0.0.1:444] AH01114: HTTP: failed",
            Error,
            "AH01114: HTTP: failed",
        ),
        ("[warn] [client", Warning, "[client"),
        ("ERROR:root:it broke", Error, "ERROR:root:it broke"),
        ("CRITICAL root it broke", Fatal, "root it broke"),
        ("error: cannot open file", Error, "cannot open file"),
        ("npm warn deprecated x", Warning, "deprecated x"),
        ("npm ERR! code 1", Error, "code 1"),
        ("level=error ts=1 msg=\"it broke\"", Error, "level=error ts=1 msg=\"it broke\""),
        ("ts=1 caller=x.go:1 level=warn msg=slow", Warning, "ts=1 caller=x.go:1 level=warn msg=slow"),
        (
            "time=\"2026-01-12T06:25:41Z\" level=info msg=ok",
            Info,
            "time=\"2026-01-12T06:25:41Z\" level=info msg=ok",
        ),
        ("found no error in the file", Unstated, "found no error in the file"),
        ("0 errors, 3 warnings", Unstated, "0 errors, 3 warnings"),
        ("user log kept", Unstated, "user log kept"),
        ("[ 8123.456789] usb 1-1: reset", Unstated, "usb 1-1: reset"),
        ("10.0.0.1:80 answered", Unstated, "10.0.0.1:80 answered"),
        ("2026 was a good year", Unstated, "2026 was a good year"),
        ("", Unstated, ""),
        ("ERROR", Error, "ERROR"),
    ]);
}

#[test]
fn priorities_klog_and_databases() {
    check(&[
        ("<34>1 2026-01-12T06:25:41Z host su - - - failed", Fatal, "host su - - - failed"),
        ("<13>Jan 12 06:25:41 host app: hello", Info, "host app: hello"),
        ("<script>alert(1)</script>", Unstated, "<script>alert(1)</script>"),
        ("E0112 06:25:41.123456   17 reflector.go:138] watch failed", Error, "watch failed"),
        ("W0112 06:25:41.123456       1 warnings.go:70] old API", Warning, "old API"),
        ("Everything is fine] really", Unstated, "Everything is fine] really"),
        (
            "2026-01-12 06:25:41.123 UTC [71] LOG:  checkpoint starting: time",
            Info,
            "checkpoint starting: time",
        ),
        ("2026-01-12 06:25:41.123 UTC [71] ERROR:  deadlock detected", Error, "deadlock detected"),
        ("2026-01-12 06:25:41.123 UTC [71] FATAL:  no", Fatal, "no"),
        ("2026-01-12 06:25:41.123 UTC [71] PANIC:  could not write", Fatal, "could not write"),
        ("2026/01/12 06:25:41 [error] 31#31: *7 upstream timed out", Error, "upstream timed out"),
        ("2026/01/12 06:25:41 [notice] 1#1: start worker 31", Info, "start worker 31"),
        ("2026/01/12 06:25:41 [error] a#1: *7 no", Error, "a#1: *7 no"),
        ("2026/01/12 06:25:41 [crit] 31#31: *7 no", Fatal, "no"),
    ]);
    assert_eq!(read("2026-01-12 06:25:41.123 UTC [71] STATEMENT:  SELECT 'ERROR'").form, Form::Explanation);
}

#[test]
fn access_logs() {
    let nginx =
        r#"203.0.113.9 - - [12/Jan/2026:06:25:41 +0000] "GET /a/17?token=x HTTP/1.1" 503 120 "-" "curl""#;
    let reading = read(nginx);
    assert_eq!((reading.severity, reading.form), (Error, Form::Access { status: 503 }));
    assert_eq!(reading.message, "HTTP/503 GET /a/<n>");
    check(&[
        (
            r#"INFO:     10.0.0.1:5 - "POST /login HTTP/1.1" 401 Unauthorized"#,
            Warning,
            "HTTP/401 POST /login",
        ),
        (
            r#"10.0.0.1 - bob [x] "GET /img/550e8400-e29b-41d4-a716-446655440000.png HTTP/2.0" 200 5"#,
            Info,
            "HTTP/200 GET /img/<uuid>.png",
        ),
        (r#"1.1.1.1 - - [x] "GET http://other.example/p HTTP/1.1" 404 0"#, Warning, "HTTP/404 GET /p"),
    ]);
    let not_access = r#"[error] upstream failed, request: "GET /a HTTP/1.1", upstream: "http://x""#;
    assert_eq!(read(not_access).form, Form::Message);
}

#[test]
fn json_logs() {
    check(&[
        (r#"{"level":"error","msg":"it broke","n":1}"#, Error, "it broke"),
        (r#"{"level":50,"time":1,"msg":"it broke"}"#, Error, "it broke"),
        (r#"{"severity":"WARNING","message":"slow"}"#, Warning, "slow"),
        (r#"{"level":"info","msg":"query failed","error":"no route"}"#, Info, "query failed: no route"),
        (r#"{"level":"error","err":{"message":"deep"},"msg":"failed"}"#, Error, "failed: deep"),
        (r#"{"method":"GET","path":"/a/7","status":502}"#, Error, "HTTP/502 GET /a/<n>"),
        (r#"{"level":"info","method":"GET","path":"/a","status":500}"#, Error, "HTTP/500 GET /a"),
        (r#"{"a":1,"b":"x","c":[1]}"#, Unstated, "a=1 b=x"),
        (r#"{"level":"error","msg":"two\nlines"}"#, Error, "two"),
        (r#"{"level":"error""#, Unstated, r#"{"level":"error""#),
    ]);
    let traced = r#"{"msg":"failed","exc_info":"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'k'"}"#;
    let reading = read(traced);
    assert_eq!(reading.severity, Error);
    assert_eq!(reading.trace.unwrap().exception, "KeyError");
}

proptest! {
    #[test]
    fn no_line_panics(line in "\\PC{0,200}") {
        read(&line);
    }

    #[test]
    fn no_line_of_likely_parts_panics(parts in proptest::collection::vec(prop_oneof![
        "[0-9:.,/+TZ-]{0,12}", Just("[".to_owned()), Just("]".to_owned()), Just("ERROR:".to_owned()),
        Just("\"GET /".to_owned()), Just("HTTP/1.1\" 5".to_owned()), Just("{\"level\":".to_owned()), Just("é".to_owned()),
        Just("E0112 ".to_owned()), Just("<34>".to_owned()), Just("Jan".to_owned()), Just(" ".to_owned()),
    ], 0..12)) {
        read(&parts.concat());
    }
}
