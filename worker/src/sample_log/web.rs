//! A web shop behind nginx: access log and application log on stdout, nginx' error log on stderr.

use chrono::{DateTime, Utc};
use cyberbrain_core::staging::LogStream;

use super::{SampleLine, Writer, faults::Fault, random::Random};

const PATHS: [&str; 6] = ["/", "/products", "/api/cart", "/api/orders", "/static/app.js", "/search?q=lamp"];
const AGENTS: [&str; 3] = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "kube-probe/1.29"];

pub(super) fn ordinary(random: &mut Random, to: &mut Writer<'_>) {
    match random.below(10) {
        0 => {
            let (order, customer, took) =
                (random.below(90_000) + 10_000, random.below(5_000), random.below(90) + 5);
            app(
                to,
                "INFO",
                "shop.orders",
                &format!("order {order} placed by customer {customer} in {took} ms"),
            );
        }
        1 => {
            let (hits, misses) = (random.below(900), random.below(60));
            app(to, "DEBUG", "shop.cache", &format!("{hits} hits, {misses} misses"));
        }
        2 if random.below(20) == 0 => {
            let took = random.below(3_000) + 1_000;
            app(to, "WARNING", "shop.db", &format!("slow query: {took} ms in load_products"));
        }
        3 => {
            let path = format!("/products/{}", random.below(3_000));
            access(random, to, "GET", &path, 200);
        }
        4 if random.below(8) == 0 => access(random, to, "GET", "/favicon.ico", 404),
        _ => {
            let path = random.pick(&PATHS);
            access(random, to, "GET", path, 200);
        }
    }
}

pub(super) fn plant(fault: Fault, random: &mut Random, to: &mut Writer<'_>) {
    match fault {
        Fault::GuessedLogins => {
            for _ in 0..12 {
                to.pass(400);
                app(
                    to,
                    "WARNING",
                    "shop.auth",
                    "login failed for user 'admin' from 198.51.100.23: invalid password",
                );
                request(to, "198.51.100.23", "POST", "/login", 401, random);
            }
        }
        Fault::UpstreamTimeouts => {
            for _ in 0..6 {
                to.pass(1_000);
                let order = random.below(90_000) + 10_000;
                let path = format!("/api/orders/{order}");
                nginx(
                    to,
                    random,
                    "upstream timed out (110: Connection timed out) while reading response header from upstream",
                    &path,
                );
                access(random, to, "GET", &path, 504);
            }
        }
        Fault::PythonTraceback => {
            for _ in 0..3 {
                to.pass(2_000);
                app(to, "ERROR", "shop.checkout", &format!("order {} failed", random.below(90_000) + 10_000));
                for line in TRACEBACK {
                    to.stdout((*line).to_owned());
                }
            }
        }
        Fault::BadGateways => {
            for _ in 0..60 {
                to.pass(50);
                access(random, to, "POST", "/api/checkout", 502);
            }
        }
        Fault::CacheGone => {
            for attempt in 1..=4 {
                to.pass(1_500);
                app(
                    to,
                    "ERROR",
                    "shop.cache",
                    &format!(
                        "could not connect to redis at 10.0.3.9:6379 (attempt {attempt}): Connection refused"
                    ),
                );
            }
        }
        Fault::OomKill => {
            to.pass(10);
            to.stderr("[ 8123.456789] Out of memory: Killed process 4242 (gunicorn) total-vm:3145728kB, anon-rss:2097152kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:4200kB oom_score_adj:0".to_owned());
            app(to, "CRITICAL", "gunicorn.error", "worker 4242 was sent SIGKILL! Perhaps out of memory?");
        }
        Fault::LeakedCredentials => {
            app(
                to,
                "ERROR",
                "shop.payments",
                "payment provider answered nonsense: POST https://shop:h0rse-b4ttery@pay.example/charge with Authorization: Bearer tok_live_51HxQ9aZ for erika@example.org",
            );
        }
        Fault::RefusedPasswords
        | Fault::Deadlock
        | Fault::StatementTimeouts
        | Fault::DiskFull
        | Fault::KilledBackend => {}
    }
}

pub(super) fn heartbeat(at: DateTime<Utc>) -> SampleLine {
    let text = format!("{} INFO shop.health: all well", at.format("%Y-%m-%d %H:%M:%S,%3f"));
    SampleLine { at, stream: LogStream::Stdout, text }
}

const TRACEBACK: &[&str] = &[
    "Traceback (most recent call last):",
    "  File \"/app/shop/web.py\", line 88, in dispatch",
    "    return handler(request)",
    "           ^^^^^^^^^^^^^^^^",
    "  File \"/app/shop/checkout.py\", line 41, in place_order",
    "    address = order[\"shipping_address\"]",
    "              ~~~~~^^^^^^^^^^^^^^^^^^^^",
    "KeyError: 'shipping_address'",
];

fn app(to: &mut Writer<'_>, level: &str, logger: &str, message: &str) {
    to.stdout(format!("{} {level} {logger}: {message}", to.at.format("%Y-%m-%d %H:%M:%S,%3f")));
}

fn access(random: &mut Random, to: &mut Writer<'_>, method: &str, path: &str, status: u16) {
    let client = format!("203.0.113.{}", random.below(250) + 1);
    request(to, &client, method, path, status, random);
}

fn request(to: &mut Writer<'_>, client: &str, method: &str, path: &str, status: u16, random: &mut Random) {
    let time = to.at.format("%d/%b/%Y:%H:%M:%S +0000");
    let size = random.below(20_000) + 120;
    let agent = random.pick(&AGENTS);
    to.stdout(format!(
        "{client} - - [{time}] \"{method} {path} HTTP/1.1\" {status} {size} \"-\" \"{agent}\""
    ));
}

fn nginx(to: &mut Writer<'_>, random: &mut Random, what: &str, path: &str) {
    let time = to.at.format("%Y/%m/%d %H:%M:%S");
    let (connection, client) = (random.below(9_000) + 1_000, random.below(250) + 1);
    to.stderr(format!(
        "{time} [error] 31#31: *{connection} {what}, client: 203.0.113.{client}, server: shop.example, request: \"GET {path} HTTP/1.1\", upstream: \"http://10.0.3.4:8000{path}\", host: \"shop.example\""
    ));
}
