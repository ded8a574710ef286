use proptest::prelude::*;

use super::*;

fn masked(message: &str) -> String {
    let mut masked = Masked::default();
    masked.set(message);
    masked.words().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_varies_is_replaced() {
    let cases = [
        ("took 17 ms", "took <n> ms"),
        ("in 1m2.5s, 3h, 17µs", "in <duration>"),
        ("x 5q 3rd 12.5. 7x1", "x <n>q <n>rd <n>. <n>x<n>"),
        ("ids [1, 2, 3], at 7", "ids [<n>], at <n>"),
        ("ids [1], at 7", "ids [<n>], at <n>"),
        ("to 10.0.0.1, 10.0.0.2 and 1,2,3", "to <ip> and <n>"),
        ("from 3, /tmp/x", "from <n>, <path>"),
        ("took 17ms, 3.5MB (12.5%)", "took <duration>, <size> (<n>%)"),
        ("count=17 total=1,234", "count=<n> total=<n>"),
        ("worker-7 of pool2 ended.", "worker-<n> of pool<n> ended."),
        ("id 550e8400-e29b-41d4-a716-446655440000 gone", "id <uuid> gone"),
        ("at 0x7ffe12 and 9f86d081884c", "at <hex> and <hex>"),
        ("added facade", "added facade"),
        ("from 10.0.0.1:443, 10.0.0.2: 10.0.0.0/8", "from <ip>: <ip>"),
        ("from [fe80::1] mac 00:1a:2b:3c:4d:5e", "from [<ip>] mac <hex>"),
        ("at 06:25:41.123 on 2026-01-12", "at <time> on <time>"),
        ("open /var/lib/x.db failed", "open <path> failed"),
        ("\"base/16384/2613\"", "\"<path>\""),
        ("and/or text/html", "and/or text/html"),
        ("GET https://x.example/a?b=1, then", "GET <url>, then"),
        ("mail to a.b@c.example now", "mail to <email> now"),
        ("key sk0live0a1b2c3d4e5f6g7h8", "key <id>"),
        ("password=hunter2 user=bob", "password=<secret> user=bob"),
        ("Password: hunter2", "Password: <secret>"),
        ("(using password: YES) token: nothing", "(using password: YES) token: <secret>"),
        ("Authorization: Bearer abc rest", "Authorization: Bearer <secret> rest"),
        ("token='abc' next", "token='<secret>' next"),
        ("password authentication failed", "password authentication failed"),
        ("main.rs:12:5", "main.rs:<n>:<n>"),
        ("  spaced \t out  ", "spaced out"),
        ("", ""),
    ];
    for (message, expected) in cases {
        assert_eq!(masked(message), expected, "for {message:?}");
    }
}

#[test]
fn messages_and_words_are_bounded() {
    let long = "word ".repeat(1_000) + &"x".repeat(5_000);
    let out = masked(&long);
    assert_eq!(out.split(' ').count(), MAX_WORDS);
    assert!(out.ends_with(REST));
    assert!(masked(&"ü".repeat(5_000)).len() <= MAX_WORD_BYTES + REST.len());
}

proptest! {
    #[test]
    fn any_message_has_few_short_words(message in "\\PC{0,400}") {
        let mut masked = Masked::default();
        masked.set(&message);
        let words: Vec<&str> = masked.words().collect();
        prop_assert!(words.len() <= MAX_WORDS);
        prop_assert!(words.iter().all(|word| word.len() <= MAX_WORD_BYTES + REST.len()));
        prop_assert!(words.iter().all(|word| !word.contains(' ')));
        masked.set_masked(&message);
        prop_assert!(masked.words().len() <= MAX_WORDS);
    }

    #[test]
    fn no_digit_of_a_message_is_left(message in "[a-z0-9 .,=/-]{0,100}") {
        prop_assert!(!masked(&message).bytes().any(|byte| byte.is_ascii_digit()), "{}", masked(&message));
    }
}
