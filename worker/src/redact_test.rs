use proptest::prelude::*;

use super::*;

/// A pattern, what is taken out by it, and what looks like it and stays.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const TABLE: [Row; 12] = [
    (
        "user and password of a URL",
        &[
            ("connect postgres://shop:hunter2@db:5432/shop", "connect postgres://<redacted>@db:5432/shop"),
            ("clone HTTPS://tok3n@git.example/x.git", "clone HTTPS://<redacted>@git.example/x.git"),
            ("redis://:p@ss@cache:6379/0", "redis://<redacted>@cache:6379/0"),
        ],
        &["GET https://shop.example/a?b=1", "see http://example/@scope/package", "a://b"],
    ),
    (
        "private key",
        &[("got -----BEGIN RSA PRIVATE KEY-----MIIEow and more", "got <redacted>")],
        &["-----BEGIN CERTIFICATE-----MIIB", "BEGIN PRIVATE KEY"],
    ),
    (
        "scheme of an Authorization header",
        &[
            ("sent bearer abcdef123", "sent bearer <redacted>"),
            ("Basic dXNlcjpwYXNz ok", "Basic <redacted> ok"),
        ],
        &["bearer of news", "a basic test", "digest it"],
    ),
    (
        "key and value",
        &[
            ("DB_PASSWORD=hunter2, retries=3", "DB_PASSWORD=<redacted>, retries=3"),
            ("Authorization: Bearer abc.def-123", "Authorization: <redacted>"),
            (r#"{"api_key": "a b\"c", "n": 1}"#, r#"{"api_key": <redacted>, "n": 1}"#),
            ("passphrase: 'two words' end", "passphrase: <redacted> end"),
            ("session-id=77;path", "session-id=<redacted>;path"),
            ("Set-Cookie: sid=1 x", "Set-Cookie: <redacted> x"),
        ],
        &[
            "password authentication failed",
            "token expired",
            "5 tokens used",
            "key=value",
            "secretary: present",
        ],
    ),
    (
        "value that SQL quotes",
        &[
            ("ALTER ROLE shop PASSWORD 'it''s me' VALID", "ALTER ROLE shop PASSWORD <redacted> VALID"),
            ("create user x identified by \"hunter2\"", "create user x identified by <redacted>"),
        ],
        &["password authentication failed for \"jo\"", "identified by name"],
    ),
    (
        "value after an option",
        &[("ran login --password hunter2 --user jo", "ran login --password <redacted> --user jo")],
        &["ran login --password --user jo", "with --tokens 5"],
    ),
    (
        "JSON web token",
        &[("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt <redacted>")],
        &["eyJ is how one begins", "eyJhbGciOiJIUzI1NiJ9 alone", "heyJabcdefgh.ij"],
    ),
    (
        "keys of well-known services",
        &[
            ("key AKIAIOSFODNN7EXAMPLE used", "key <redacted> used"),
            ("ghp_0123456789abcdefABCD", "<redacted>"),
            ("xoxb-1234-abcd-5678", "<redacted>"),
            ("with sk-abcdefghijkl", "with <redacted>"),
            ("glpat-abcdefghijkl", "<redacted>"),
        ],
        &["AKIA", "sk-short", "task-abcdefghijkl", "ghp_short"],
    ),
    (
        "mail address",
        &[("mail to jo.doe+x@example.co.uk now", "mail to <email> now")],
        &["root@localhost", "@example.com", "user@"],
    ),
    (
        "IPv4 address",
        &[("from 10.1.2.3:443, 10.0.0.0/8", "from <ip>:443, <ip>/8")],
        &["version 1.2.3", "took 1.5 s", "1234.1.1.1234"],
    ),
    (
        "long opaque word",
        &[("digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "digest <redacted>")],
        &["9f86d081884c7d659a2feaa0c55ad01", "ThisIsTheLongNameOfAFactoryOfFactories1"],
    ),
    (
        "IPv6 address",
        &[("fe80::1%eth0 and 2001:db8:0:0:0:0:0:17", "<ip>%eth0 and <ip>")],
        &["std::vec::Vec and a::b", "at 12:34:56", "a::b1"],
    ),
];

#[test]
fn every_pattern_takes_out_what_it_is_for_and_nothing_that_looks_like_it() {
    assert_eq!(TABLE.len(), RULES.len() + 2, "a row for every pattern");
    for (pattern, gone, stays) in TABLE {
        for (given, expected) in gone {
            assert_eq!(redact(given), *expected, "{pattern}: {given:?}");
        }
        for given in stays {
            assert_eq!(redact(given), *given, "{pattern}: {given:?} must stay");
        }
    }
}

#[test]
fn twice_is_once() {
    for (pattern, gone, _) in TABLE {
        for (_, once) in gone {
            assert_eq!(redact(once), *once, "{pattern}");
        }
    }
}

const SECRETS: [&str; 4] = ["hunter2", "Tr0ub4dor-3", "c0rrect_horse", "s3cr3t.value"];

/// Around a secret, with what is said before and after it.
const CONTEXTS: [(&str, &str); 14] = [
    ("password=", ""),
    ("passwd: ", ","),
    ("\"secret\": \"", "\","),
    ("'token': '", "'}"),
    ("api_key=", "&page=2"),
    ("X-Api-Key: ", ""),
    ("AWS_ACCESS_KEY = ", ";"),
    ("Authorization: Bearer ", ""),
    ("authorization=Basic ", ""),
    ("postgres://shop:", "@db/shop"),
    ("amqp://", "@queue"),
    ("session_id=", ")"),
    ("Cookie: ", ""),
    ("credentials='", "'"),
];

proptest! {
    #[test]
    fn a_planted_secret_is_gone_whatever_stands_around_it(
        before in "[a-zA-Z0-9 .:,=\\[\\]{}()-]{0,40}",
        after in "[a-zA-Z0-9 .:,=\\[\\]{}()-]{0,40}",
        secret in proptest::sample::select(&SECRETS[..]),
        (lead, end) in proptest::sample::select(&CONTEXTS[..]),
    ) {
        let line = format!("{before} {lead}{secret}{end} {after}");
        prop_assert!(!redact(&line).contains(secret), "{} of {line}", redact(&line));
    }
}
