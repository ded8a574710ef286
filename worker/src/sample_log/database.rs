//! A PostgreSQL server; everything on stderr, as its image does.

use chrono::{DateTime, Utc};
use cyberbrain_core::staging::LogStream;

use super::{SampleLine, Writer, faults::Fault, random::Random};

const TABLES: [&str; 4] = ["orders", "customers", "order_lines", "carts"];
const UPDATE: &str = "UPDATE orders SET status = 'paid' WHERE id = $1";

pub(super) fn ordinary(random: &mut Random, to: &mut Writer<'_>) {
    match random.below(12) {
        0 => {
            let (buffers, percent) = (random.below(900) + 3, random.below(90) as f64 / 10.0);
            log(
                to,
                61,
                "LOG",
                &format!(
                    "checkpoint complete: wrote {buffers} buffers ({percent:.1}%); 0 WAL file(s) added, 0 removed, 1 recycled"
                ),
            );
        }
        1 => log(to, 61, "LOG", "checkpoint starting: time"),
        2 => {
            let table = random.pick(&TABLES);
            let (pages, tuples) = (random.below(40), random.below(900));
            log(
                to,
                64,
                "LOG",
                &format!(
                    "automatic vacuum of table \"shop.public.{table}\": index scans: 0, pages: {pages} removed, tuples: {tuples} removed"
                ),
            );
        }
        3 if random.below(10) == 0 => {
            let pid = backend(random);
            log(to, pid, "ERROR", "duplicate key value violates unique constraint \"carts_pkey\"");
            log(to, pid, "DETAIL", &format!("Key (id)=({}) already exists.", random.below(9_000)));
            log(to, pid, "STATEMENT", "INSERT INTO carts (id, customer_id) VALUES ($1, $2)");
        }
        _ => {
            let pid = backend(random);
            let (took, id) = (random.below(40_000), random.below(90_000));
            let table = random.pick(&TABLES);
            log(
                to,
                pid,
                "LOG",
                &format!(
                    "duration: {}.{:03} ms  statement: SELECT * FROM {table} WHERE id = {id}",
                    took / 1_000,
                    took % 1_000
                ),
            );
        }
    }
}

pub(super) fn plant(fault: Fault, random: &mut Random, to: &mut Writer<'_>) {
    match fault {
        Fault::RefusedPasswords => {
            for _ in 0..8 {
                to.pass(3_000);
                let pid = backend(random);
                log(to, pid, "FATAL", "password authentication failed for user \"reporting\"");
                log(
                    to,
                    pid,
                    "DETAIL",
                    "Connection matched pg_hba.conf line 100: \"host all all all scram-sha-256\"",
                );
            }
        }
        Fault::Deadlock => {
            for _ in 0..2 {
                to.pass(5_000);
                let (first, second) = (backend(random), backend(random));
                log(to, first, "ERROR", "deadlock detected");
                log(
                    to,
                    first,
                    "DETAIL",
                    &format!(
                        "Process {first} waits for ShareLock on transaction 7341; blocked by process {second}."
                    ),
                );
                log(to, first, "HINT", "See server log for query details.");
                log(to, first, "CONTEXT", "while updating tuple (0,7) in relation \"orders\"");
                log(to, first, "STATEMENT", UPDATE);
            }
        }
        Fault::StatementTimeouts => {
            for _ in 0..5 {
                to.pass(2_000);
                let pid = backend(random);
                log(to, pid, "ERROR", "canceling statement due to statement timeout");
                log(to, pid, "STATEMENT", "SELECT customer_id, sum(total) FROM orders GROUP BY customer_id");
            }
        }
        Fault::DiskFull => {
            for _ in 0..3 {
                to.pass(700);
                let (pid, file, block) =
                    (backend(random), random.below(9_000) + 16_384, random.below(90_000));
                log(
                    to,
                    pid,
                    "ERROR",
                    &format!(
                        "could not extend file \"base/16384/{file}\": No space left on device at block {block}"
                    ),
                );
                log(to, pid, "HINT", "Check free disk space.");
                log(to, pid, "STATEMENT", "INSERT INTO order_lines SELECT * FROM import");
            }
        }
        Fault::KilledBackend => {
            let pid = backend(random);
            log(to, 1, "LOG", &format!("server process (PID {pid}) was terminated by signal 9: Killed"));
            log(to, 1, "DETAIL", "Failed process was running: SELECT * FROM orders ORDER BY total");
            log(to, 1, "LOG", "terminating any other active server processes");
            to.pass(1_200);
            log(to, 1, "LOG", "all server processes terminated; reinitializing");
            log(to, 71, "LOG", "database system was interrupted; last known up at an earlier checkpoint");
            log(
                to,
                71,
                "LOG",
                "redo done at 0/1A2B3C8 system usage: CPU: user: 0.00 s, system: 0.00 s, elapsed: 0.01 s",
            );
            log(to, 1, "LOG", "database system is ready to accept connections");
        }
        Fault::GuessedLogins
        | Fault::UpstreamTimeouts
        | Fault::PythonTraceback
        | Fault::BadGateways
        | Fault::CacheGone
        | Fault::OomKill
        | Fault::LeakedCredentials => {}
    }
}

pub(super) fn heartbeat(at: DateTime<Utc>) -> SampleLine {
    SampleLine { at, stream: LogStream::Stderr, text: line(at, 61, "LOG", "checkpoint starting: time") }
}

fn backend(random: &mut Random) -> u64 {
    random.below(4_000) + 100
}

fn log(to: &mut Writer<'_>, pid: u64, level: &str, message: &str) {
    to.stderr(line(to.at, pid, level, message));
}

fn line(at: DateTime<Utc>, pid: u64, level: &str, message: &str) -> String {
    format!("{} UTC [{pid}] {level}:  {message}", at.format("%Y-%m-%d %H:%M:%S%.3f"))
}
