//! Containers with planted faults, and what was planted, told by the engine and not by us.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use cyberbrain_testkit::wait_until;
use serde_json::Value;

use super::packed::Image;
use crate::support::Api;

const PATIENCE: Duration = Duration::from_secs(90);

/// A credential that a client's statement puts into the log of the database.
pub const PLANTED_CREDENTIAL: &str = "PLANTED-CREDENTIAL-9b1e";
/// A word of a message that stays in the report of the job, and must come into no row, log, metric or report of the Run.
pub const PLANTED_MESSAGE: &str = "marzipan_unicorns";

pub const WRONG_PASSWORDS: u64 = 7;
pub const FULL_DISKS: u64 = 3;
pub const TOO_SLOW: u64 = 5;
pub const REFUSED_REQUESTS: u64 = 11;
pub const GOOD_REQUESTS: u64 = 23;
pub const RESTARTS: u64 = 5;

/// The containers, each by its name; dropping it removes them, their network and their image.
pub struct Landscape {
    pub database: String,
    pub web: String,
    pub looping: String,
    pub hungry: String,
    pub network: String,
    image: Image,
    web_url: String,
}

/// One line of a log, as the engine keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    pub text: String,
}

impl Landscape {
    /// Starts them, plants every fault, and waits until all of them are in the logs.
    pub async fn plant(directory: &Path, api: &Api) -> Self {
        let tag = uuid::Uuid::now_v7().simple().to_string();
        let tag = &tag[tag.len() - 8..];
        let name = |role: &str| format!("shop-{role}-{tag}");
        let image = tokio::task::spawn_blocking({
            let name = format!("cyberbrain-test-shop:{tag}");
            move || Image::pack(&name)
        });
        let mut landscape = Self {
            database: name("db"),
            web: name("web"),
            looping: name("loop"),
            hungry: name("hungry"),
            network: name("net"),
            image: image.await.unwrap(),
            web_url: String::new(),
        };
        docker(&["network", "create", &landscape.network]);
        landscape.start_database();
        landscape.start_web(directory);
        landscape.run(
            &landscape.looping,
            &["--restart", &format!("on-failure:{RESTARTS}")],
            &["sh", "-c", "echo 'CRITICAL: setting QUEUE_URL is missing, giving up' >&2; exit 78"],
        );
        landscape.run(
            &landscape.hungry,
            &["--memory", "32m", "--memory-swap", "32m"],
            &["tail", "/dev/zero"],
        );
        landscape.misuse_the_database().await;
        landscape.misuse_the_web(api).await;
        wait_until("the end of the crash loop", PATIENCE, async || {
            let state = inspect(&landscape.looping);
            state["RestartCount"] == RESTARTS && state["State"]["Status"] == "exited"
        })
        .await;
        wait_until("the end of what takes all memory", PATIENCE, async || {
            inspect(&landscape.hungry)["State"]["OOMKilled"] == true
        })
        .await;
        landscape
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names = vec![self.database.as_str(), &self.web, &self.looping, &self.hungry];
        names.sort_unstable();
        names
    }

    /// The image of them all.
    pub fn image(&self) -> &str {
        &self.image.name
    }

    /// What the engine keeps of a container's output, by stream and in the order of each.
    pub fn lines(&self, container: &str) -> Vec<Line> {
        let output = docker(&["logs", container]);
        let streams = [("stdout", output.stdout), ("stderr", output.stderr)];
        let lines = |(stream, bytes): (&'static str, Vec<u8>)| -> Vec<Line> {
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|text| Line { stream, text: text.to_owned() }).collect()
        };
        streams.into_iter().flat_map(lines).collect()
    }

    /// Clients with a wrong password.
    pub fn guess_passwords(&self, times: u64) {
        for _ in 0..times {
            let output = self.psql(&["-h", "127.0.0.1", "-U", "shopper", "-d", "postgres", "-c", "select 1"]);
            assert!(!output.status.success());
        }
    }

    fn run(&self, name: &str, options: &[&str], command: &[&str]) {
        let mut args = vec!["run", "--detach", "--name", name];
        args.extend(options);
        args.push(self.image());
        args.extend(command);
        docker(&args);
    }

    fn start_database(&self) {
        const START: &str = "initdb -D /data/db -U postgres -A trust --locale=C -N >/dev/null && mkdir /small/space && \
             printf 'local all all trust\\nhost all all 127.0.0.1/32 scram-sha-256\\n' > /data/db/pg_hba.conf && \
             exec postgres -D /data/db -k /tmp -c fsync=off -c autovacuum=off -c log_checkpoints=off";
        self.run(
            &self.database,
            &[
                "--user=999:999",
                "--network",
                &self.network,
                "--tmpfs=/data:mode=1777",
                "--tmpfs=/small:mode=1777,size=1m",
                "--label=com.docker.compose.project=shop",
                "--label=com.docker.compose.service=db",
            ],
            &["sh", "-c", START],
        );
    }

    fn start_web(&mut self, directory: &Path) {
        let config = directory.join("web.conf");
        std::fs::write(&config, web_config()).unwrap();
        let volume = format!("{}:/etc/web.conf:ro", config.display());
        self.run(
            &self.web,
            &[
                "--network",
                &self.network,
                "--env",
                &format!("DATABASE_HOST={}", self.database),
                "--publish=127.0.0.1::8080",
                "--volume",
                &volume,
                "--label=com.docker.compose.project=shop",
                "--label=com.docker.compose.service=web",
            ],
            &["apache2", "-f", "/etc/web.conf", "-D", "FOREGROUND"],
        );
        let port = docker(&["port", &self.web, "8080/tcp"]);
        let port = String::from_utf8(port.stdout).unwrap();
        self.web_url = format!("http://{}", port.lines().next().unwrap());
    }

    async fn misuse_the_database(&self) {
        wait_until("the database", PATIENCE, async || self.sql("select 1").status.success()).await;
        self.sql("create role shopper login password 'right'");
        self.sql("create tablespace small location '/small/space'");
        self.sql("create table orders (words text) tablespace small");
        self.guess_passwords(WRONG_PASSWORDS);
        for _ in 0..FULL_DISKS {
            self.sql("insert into orders select repeat('x', 900) from generate_series(1, 4000)");
        }
        for _ in 0..TOO_SLOW {
            self.sql(&format!("set statement_timeout = '50ms'; select pg_sleep(60) as {PLANTED_MESSAGE}"));
        }
        self.sql(&format!("alter role nobody password '{PLANTED_CREDENTIAL}'"));
    }

    async fn misuse_the_web(&self, api: &Api) {
        let url = |path: &str| format!("{}{path}", self.web_url);
        // By a path that nothing is counted of.
        wait_until("the web server", PATIENCE, async || api.text(&url("/ready")).await.is_some()).await;
        for _ in 0..GOOD_REQUESTS {
            api.text(&url("/good")).await.unwrap();
        }
        for _ in 0..REFUSED_REQUESTS {
            api.text(&url("/orders")).await.unwrap();
        }
        wait_until("all requests in the log", PATIENCE, async || {
            let lines = self.lines(&self.web);
            let of = |path: &str| lines.iter().filter(|line| line.text.contains(path)).count() as u64;
            (of("GET /good"), of("GET /orders")) == (GOOD_REQUESTS, REFUSED_REQUESTS)
        })
        .await;
    }

    fn sql(&self, statement: &str) -> Output {
        self.psql(&["-h", "/tmp", "-U", "postgres", "-c", statement])
    }

    /// A client in the database's container; what it says of errors is not looked at.
    fn psql(&self, args: &[&str]) -> Output {
        let mut all = vec!["exec", "--env", "PGPASSWORD=wrong", &self.database, "psql"];
        all.extend(args);
        Command::new("docker").args(all).output().expect("docker runs")
    }
}

impl Drop for Landscape {
    fn drop(&mut self) {
        for name in self.names() {
            let _ = Command::new("docker").args(["rm", "--force", "--volumes", name]).output();
        }
        let _ = Command::new("docker").args(["network", "rm", &self.network]).output();
    }
}

/// A server whose `/orders` are behind somebody who is not there.
fn web_config() -> String {
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"));
    format!(
        "{}ServerName web\nServerRoot /\nPidFile /tmp/web.pid\nListen 8080\nDocumentRoot /usr/share/zoneinfo\n\
         User server\nGroup server\nLogLevel error\nErrorLog /dev/stderr\n\
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %b\" common\nCustomLog /dev/stdout common\n\
         ProxyPass /orders http://127.0.0.1:9/ retry=0\n",
        modules.concat()
    )
}

/// What the engine says of a container.
pub fn inspect(container: &str) -> Value {
    let output = docker(&["inspect", container]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all[0].clone()
}

/// The engine's id of an image.
pub fn inspect_image(image: &str) -> String {
    let output = docker(&["image", "inspect", "--format", "{{.Id}}", image]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn docker(args: &[&str]) -> Output {
    let output = Command::new("docker").args(args).output().expect("docker runs");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
