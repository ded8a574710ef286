//! The processes of one installation on this machine, from start to end.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use cyberbrain_common::{
    db::{self, PoolSize},
    keys::{self, AdminKey},
    postgres::{self, Postgres},
    ready::Ready,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shape,
    lock::{self, DataDirLock},
    ports::{self, Claimed},
    process::{Kept, Role},
    summary::Summary,
};
use crate::notice::say;

/// A running installation.
pub struct Cluster {
    _lock: DataDirLock,
    /// Kept as long as the api may have to be started again.
    _port: Option<Claimed>,
    postgres: Postgres,
    api: String,
    admin_key: String,
    data_dir: PathBuf,
    roles: Vec<Kept>,
}

impl Cluster {
    /// Brings everything up and returns when each role serves. Dropping it, at any point, ends what was started.
    pub async fn start(shape: &Shape) -> anyhow::Result<Self> {
        let data_dir = std::path::absolute(&shape.directories.data_dir)?;
        let lock = lock::lock(&data_dir)?;
        let run_dir = lock::run_directory(&data_dir)?;
        let options = postgres::Options::lasting(shape.database_url.clone(), data_dir.join("postgres"));
        let postgres = postgres::open(&options, &|notice| say(notice)).await?;
        db::migrate(postgres.url()).await.context("the database can't be brought up to date")?;
        let pool = db::pool(postgres.url(), "cyberbrain-up", PoolSize(2))?;
        let admin_key = admin_key(&pool, &data_dir).await?;
        pool.close().await;

        let claimed = match shape.bind {
            Some(_) => None,
            None => Some(ports::free_from(ports::DEFAULT_BIND)?),
        };
        let bind = shape.bind.or_else(|| claimed.as_ref().map(|claimed| claimed.address));
        let bind = bind.expect("an address was given or claimed");
        let executable = std::env::current_exe().context("can't find our own executable")?;
        let roles = roles(shape, &data_dir, postgres.url(), bind);
        let mut kept: Vec<Kept> =
            roles.into_iter().map(|role| Kept::start(role, &executable, &run_dir)).collect();
        let mut api = None;
        for role in &mut kept {
            let ready = role.ready(&run_dir.join(format!("{}.log", role.role.name))).await?;
            if role.role.kind == "api" {
                api = ready.url;
            }
        }
        let Some(api) = api else { bail!("the api serves but does not say where") };
        Ok(Self { _lock: lock, _port: claimed, postgres, api, admin_key, data_dir, roles: kept })
    }

    /// Address of the API, without a path.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The key that the command line uses.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// URL of the database.
    pub fn database_url(&self) -> &str {
        self.postgres.url()
    }

    /// Addresses and process ids as they are now.
    pub fn summary(&self) -> Summary {
        let mut metrics: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut pids: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
        for role in &self.roles {
            if let Some(Ready { pid, metrics_url, .. }) = role.current() {
                pids.entry(role.role.kind).or_default().push(pid);
                metrics.entry(role.role.kind).or_default().extend(metrics_url);
            }
        }
        if let Postgres::Own(server) = &self.postgres {
            pids.insert("postgres", vec![server.pid()]);
        }
        Summary {
            api: self.api.clone(),
            admin_key: self.admin_key.clone(),
            database_url: self.postgres.url().to_owned(),
            data_dir: self.data_dir.clone(),
            metrics,
            pids,
        }
    }

    /// Runs until the end is asked for. Cancel-safe.
    pub async fn hold(&self, end: &CancellationToken) {
        end.cancelled().await;
        say("ending: workers are stopped, then the roles, then the database");
    }

    /// Ends everything, in the order in which the parts need each other.
    pub async fn stop(self) -> anyhow::Result<()> {
        let mut roles = self.roles;
        for kind in ["launcher", "guard", "scheduler", "api"] {
            let (ending, rest): (Vec<Kept>, Vec<Kept>) =
                roles.into_iter().partition(|kept| kept.role.kind == kind);
            futures::future::join_all(ending.into_iter().map(Kept::stop)).await;
            roles = rest;
        }
        self.postgres.stop().await.context("the database does not end")
    }
}

/// The key that the command line uses, made at the first start.
async fn admin_key(pool: &db::Pool, data_dir: &Path) -> anyhow::Result<String> {
    let path = match keys::ensure_admin(pool, data_dir).await? {
        AdminKey::Made { key, path } => {
            say(format_args!("made the admin key; it is in {}", path.display()));
            return Ok(key.expose());
        }
        AdminKey::Found { path } => path,
        AdminKey::NotHere { path, why } => bail!(why.advice(&path)),
    };
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn roles(shape: &Shape, data_dir: &Path, database_url: &str, bind: SocketAddr) -> Vec<Role> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let logs = shape.directories.logs.clone().unwrap_or_else(|| data_dir.join("logs"));
    let uploads = shape.directories.uploads.clone().unwrap_or_else(|| data_dir.join("uploads"));
    let env = vec![
        ("DATABASE_URL".to_owned(), database_url.to_owned()),
        ("CYBERBRAIN_DATA_DIR".to_owned(), text(data_dir.to_owned())),
        ("CYBER_BRAIN_LOGS".to_owned(), text(logs)),
        ("CYBER_BRAIN_UPLOADS".to_owned(), text(uploads)),
        ("CYBERBRAIN_METRICS_BIND".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    let role = |kind, name: String, args: Vec<String>| Role { kind, name, args, env: env.clone() };
    let mut roles = vec![role("api", "api".to_owned(), vec!["--bind".to_owned(), bind.to_string()])];
    for n in 1..=shape.schedulers {
        roles.push(role("scheduler", format!("scheduler-{n}"), Vec::new()));
    }
    roles.push(role("guard", "guard".to_owned(), Vec::new()));
    for n in 1..=shape.launchers {
        let mut args =
            vec!["--stop-workers-on-exit".to_owned(), "--runtime".to_owned(), shape.runtime.clone()];
        if let Some(gpus) = &shape.fake_gpus {
            args.extend(["--fake-gpus".to_owned(), gpus.clone()]);
        }
        roles.push(role("launcher", format!("launcher-{n}"), args));
    }
    roles
}
