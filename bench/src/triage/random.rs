//! Random variable parts of log lines: as varied as real ones, and the same for the same seed in every version.

use std::fmt::Write as _;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

/// Plain words, which no mask can tell from the words of a message.
const NAMES: [&str; 24] = [
    "alice",
    "bob",
    "root",
    "admin",
    "deploy",
    "oracle",
    "git",
    "postgres",
    "carol",
    "mallory",
    "test",
    "guest",
    "ubuntu",
    "jenkins",
    "svc_backup",
    "www-data",
    "nagios",
    "ftp",
    "zhang.wei",
    "o'neil",
    "erin",
    "trent",
    "peggy",
    "dave",
];
const THINGS: [&str; 20] = [
    "orders",
    "payments",
    "checkout",
    "inventory",
    "session",
    "users",
    "catalog",
    "shipping",
    "mailer",
    "search",
    "recommender",
    "billing",
    "audit",
    "profiles",
    "gateway",
    "thumbnails",
    "invoices",
    "coupons",
    "reviews",
    "carts",
];
const PHRASES: [&str; 8] = [
    "not found",
    "bad request",
    "quota reached",
    "no such entity here",
    "retry later",
    "the lease ran out",
    "stale",
    "conflict with a newer version",
];

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// `digits` hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    fn several(&mut self, most: u64, between: &str, mut one: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.below(most);
        (0..count).map(|_| one(self)).collect::<Vec<_>>().join(between)
    }

    /// A template with its `{parts}` filled in. What is no known part stays as it is, braces and all.
    pub fn fill(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after.split_once('}').and_then(|(name, tail)| Some((self.part(name)?, tail))) {
                Some((text, tail)) => {
                    out.push_str(&text);
                    rest = tail;
                }
                None => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn part(&mut self, name: &str) -> Option<String> {
        Some(match name {
            "n" => {
                let magnitude = 10_u64.pow(1 + self.below(6) as u32);
                self.below(magnitude).to_string()
            }
            "signed" => format!("{}{}", self.pick(&["", "-"]), self.below(9_000_000_000)),
            "float" => format!("{}.{:03}", self.below(400), self.below(1_000)),
            "port" => (1_024 + self.below(64_000)).to_string(),
            "ip" => format!(
                "{}.{}.{}.{}",
                1 + self.below(223),
                self.below(256),
                self.below(256),
                1 + self.below(254)
            ),
            "ip6" => format!("fe80::{}:{}", self.hex(4), self.hex(4)),
            "uuid" => {
                format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
            }
            "hex" => self.hex(16),
            "0x" => format!("0x{}", self.hex(8)),
            "hash" => self.hex(40),
            "duration" => match self.below(4) {
                0 => format!("{}ms", self.below(2_000)),
                1 => format!("{}.{}s", self.below(90), self.below(1_000)),
                2 => format!("{}m{}s", 1 + self.below(59), self.below(60)),
                _ => format!("{}µs", self.below(1_000)),
            },
            "size" => match self.below(3) {
                0 => format!("{}.{}MiB", self.below(900), self.below(10)),
                1 => format!("{}kB", self.below(9_000)),
                _ => format!("{}B", self.below(90_000)),
            },
            "name" => self.pick(&NAMES).to_owned(),
            "thing" => self.pick(&THINGS).to_owned(),
            "phrase" => self.pick(&PHRASES).to_owned(),
            "pod" => format!("{}-{}-{}", self.pick(&THINGS), self.hex(9), self.hex(5)),
            "glued" => {
                format!("{}{}", self.pick(&["worker", "blk", "node", "eth", "sd", "pool"]), self.below(64))
            }
            "host" => format!(
                "{}-{:02}.{}.example.com",
                self.pick(&THINGS),
                self.below(40),
                self.pick(&["eu", "us", "ap"])
            ),
            "path" => {
                let depth = 1 + self.below(4);
                let mut out = String::from("/var");
                for _ in 0..depth {
                    let _ = write!(out, "/{}", self.pick(&THINGS));
                }
                let _ = write!(out, "/{}.{}", self.hex(6), self.pick(&["log", "db", "json", "so.6", "tmp"]));
                out
            }
            "class" => format!(
                "com.shop.{}.{}{}",
                self.pick(&THINGS),
                self.pick(&["Order", "Payment", "Cart", "User"]),
                self.pick(&["Service", "Repository", "Controller", "Listener"])
            ),
            "url" => format!(
                "https://{}.example.com/{}?id={}",
                self.pick(&THINGS),
                self.pick(&THINGS),
                self.below(9_999)
            ),
            "email" => format!("{}@{}.example.com", self.pick(&["jo", "li", "kim"]), self.pick(&THINGS)),
            "clock" => format!("{:02}:{:02}:{:02}", self.below(24), self.below(60), self.below(60)),
            "numbers" => self.several(6, ", ", |random| random.below(5_000).to_string()),
            "ips" => self.several(5, ", ", |random| random.part("ip").unwrap_or_default()),
            "names" => self.several(4, ",", |random| random.pick(&NAMES).to_owned()),
            _ => return None,
        })
    }
}
