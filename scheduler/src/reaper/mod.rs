//! The reaper: who fell silent, and what becomes of their work.
//!
//! | silence                        | what is done                                                                |
//! |--------------------------------|------------------------------------------------------------------------------|
//! | of a launcher, 15 s            | its attempts are orphaned: fence + 1, open for adoption on the same host     |
//! | of all launchers of a host     | nothing new is placed there                                                  |
//! | of a host, as the job says     | a new attempt elsewhere, if a guard is known to have stopped the old one     |
//! | of more than half the hosts    | nothing is taken from them until it is over: probably it is not the hosts    |
//! | of a GPU's samples, 15 s       | its numbers are stale: nothing new is placed on it                           |
//!
//! Silence is counted by `core::watch` over successful reads; no timestamp takes part. Deliberately absent: stopping
//! containers, which is the guard's.

mod lost;
mod orphans;
mod stale;
mod verdicts;

use std::{collections::BTreeSet, time::Duration};

use cyberbrain_common::{
    boot_clock,
    db::{
        Error, Pool,
        presence::{self, LauncherState},
    },
    metric,
};
use cyberbrain_core::{
    ids::HostId,
    watch::{Presence, Reassignment},
};
use tracing::{info, warn};

pub use self::stale::StaleGpus;
use self::{lost::AtRiskOn, orphans::OwnedBy, verdicts::Verdicts, verdicts::Watcher};
use crate::{
    pass::{Next, Pass},
    signal::Signal,
    sweep::sweep,
};

/// The longest that one look at the counters may take: reads further apart than 5 s count for nothing.
const READ_LIMIT: Duration = Duration::from_millis(2_500);

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaperSummary {
    /// Launchers that were found silent.
    pub silenced: u64,
    /// Hosts whose presence changed.
    pub marked: u64,
    pub orphaned: u64,
    /// Attempts given up with their host.
    pub lost: u64,
    /// Launchers noted as gone for good.
    pub retired: u64,
    pub paused: bool,
}

/// Watches the counters.
#[derive(Debug)]
pub struct Reaper {
    pool: Pool,
    stale: StaleGpus,
    tick: Signal,
    watcher: Watcher,
    was_paused: bool,
    shown: BTreeSet<String>,
}

impl Reaper {
    #[must_use]
    pub fn new(pool: Pool, stale: StaleGpus, tick: Signal) -> Self {
        let (watcher, shown) = (Watcher::default(), BTreeSet::new());
        Self { pool, stale, tick, watcher, was_paused: false, shown }
    }

    /// One pass, at this reading of the boot-time clock.
    ///
    /// # Errors
    /// A database error. What was not read counts for nothing.
    pub async fn run_once(&mut self, instant_ms: u64) -> Result<ReaperSummary, Error> {
        let verdicts = self.look(instant_ms).await?;
        self.show(&verdicts);
        let mut summary = self.mark(&verdicts).await?;
        let untouched: BTreeSet<HostId> = match verdicts.reassignment {
            Reassignment::Allowed => {
                for host in &verdicts.silent_hosts {
                    summary.lost += sweep(&self.pool, &AtRiskOn(host)).await?.moved;
                }
                BTreeSet::new()
            }
            Reassignment::Paused { .. } => {
                summary.paused = true;
                verdicts.silent_hosts.iter().map(|silent| silent.host).collect()
            }
        };
        for owner in [LauncherState::Silent, LauncherState::Ended] {
            summary.orphaned += sweep(&self.pool, &OwnedBy { owner, untouched: &untouched }).await?.moved;
        }
        if !verdicts.gone_launchers.is_empty() {
            let mut connection = self.pool.acquire().await?;
            summary.retired = presence::retire_launchers(&mut connection, &verdicts.gone_launchers).await?;
        }
        if summary.marked + summary.lost > 0 {
            self.tick.wake();
        }
        Ok(summary)
    }

    async fn look(&mut self, instant_ms: u64) -> Result<Verdicts, Error> {
        let read = async {
            let mut connection = self.pool.acquire().await?;
            let contacts = presence::contacts(&mut connection).await?;
            let samples = presence::sample_counters(&mut connection).await?;
            Ok::<_, Error>((contacts, samples))
        };
        let (contacts, samples) = match tokio::time::timeout(READ_LIMIT, read).await {
            Ok(read) => read?,
            Err(_) => return Err(Error::from(sqlx::Error::PoolTimedOut)),
        };
        self.stale.read(instant_ms, &samples);
        Ok(self.watcher.read(instant_ms, &contacts))
    }

    async fn mark(&self, verdicts: &Verdicts) -> Result<ReaperSummary, Error> {
        let mut summary = ReaperSummary::default();
        let mut connection = self.pool.acquire().await?;
        if !verdicts.silent_launchers.is_empty() {
            let seen = &verdicts.silent_launchers;
            let marked = presence::mark_launchers(&mut connection, seen, LauncherState::Silent).await?;
            for launcher in &marked {
                warn!(launcher.id = %launcher, "launcher is silent");
            }
            summary.silenced = as_count(marked.len());
        }
        if !verdicts.returned_launchers.is_empty() {
            let seen = &verdicts.returned_launchers;
            for launcher in presence::mark_launchers(&mut connection, seen, LauncherState::Live).await? {
                info!(launcher.id = %launcher, "launcher is back");
            }
        }
        for presence in [Presence::Live, Presence::Silent, Presence::Lost] {
            let seen: Vec<_> = verdicts
                .hosts
                .iter()
                .filter(|verdict| verdict.presence == presence)
                .map(|verdict| (verdict.host, verdict.contact))
                .collect();
            if seen.is_empty() {
                continue;
            }
            let marked = presence::mark_hosts(&mut connection, &seen, presence).await?;
            for host in &marked {
                match presence {
                    Presence::Live => info!(host.id = %host, "host is back"),
                    Presence::Silent => warn!(host.id = %host, "host is silent, it gets nothing new"),
                    Presence::Lost => warn!(host.id = %host, "host is lost"),
                }
            }
            summary.marked += as_count(marked.len());
        }
        Ok(summary)
    }

    /// Tells people; decides nothing.
    fn show(&mut self, verdicts: &Verdicts) {
        match (verdicts.reassignment, self.was_paused) {
            (Reassignment::Paused { silent, of }, false) => {
                warn!(silent, of, "too many hosts fell silent together: their work is not touched");
            }
            (Reassignment::Allowed, true) => info!("work of silent hosts is given to others again"),
            (Reassignment::Paused { .. }, true) | (Reassignment::Allowed, false) => {}
        }
        self.was_paused = matches!(verdicts.reassignment, Reassignment::Paused { .. });
        metrics::gauge!(metric::SCHEDULER_REASSIGNMENT_PAUSED).set(if self.was_paused { 1.0 } else { 0.0 });
        let present: BTreeSet<String> = verdicts.silences.iter().map(|(host, _)| host.clone()).collect();
        for gone in self.shown.difference(&present) {
            show_age(gone, Duration::ZERO);
        }
        for (host, silence) in &verdicts.silences {
            show_age(host, *silence);
        }
        self.shown = present;
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        for host in &self.shown {
            show_age(host, Duration::ZERO);
        }
    }
}

impl Pass for Reaper {
    const NAME: &'static str = "reaper";

    async fn pass(&mut self) -> Result<Next, Error> {
        self.run_once(boot_clock::now_ms()).await?;
        Ok(Next::Wait)
    }
}

fn show_age(host: &str, silence: Duration) {
    metrics::gauge!(metric::LAUNCHER_HEARTBEAT_AGE, "host" => host.to_owned()).set(silence.as_secs_f64());
}

fn as_count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
