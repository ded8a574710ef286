//! What the counters say: pure, from one read to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cyberbrain_common::db::{
    contact::GuardState,
    presence::{Contacts, HostContact, LauncherState},
};
use cyberbrain_core::{
    ids::{HostId, LauncherId},
    spec::Timeouts,
    watch::{Presence, Reassignment, SILENT_AFTER, Watch},
};

/// A launcher that was silent for so long never comes back; a restarted process is a new one.
const GONE_AFTER: Duration = Duration::from_secs(600);

/// What one read means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdicts {
    /// With the counters that the verdict was made of, here and below.
    pub silent_launchers: Vec<(LauncherId, i64)>,
    pub returned_launchers: Vec<(LauncherId, i64)>,
    pub gone_launchers: Vec<LauncherId>,
    /// Those whose stored presence is to change.
    pub hosts: Vec<HostVerdict>,
    pub silent_hosts: Vec<SilentHost>,
    pub reassignment: Reassignment,
    /// Of every host, by name.
    pub silences: Vec<(String, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostVerdict {
    pub host: HostId,
    pub contact: i64,
    pub presence: Presence,
}

/// A host that is out of contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SilentHost {
    pub host: HostId,
    pub contact: i64,
    pub silence: Duration,
    pub guard: GuardState,
}

/// Remembers the counters.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    launchers: Watch<LauncherId>,
    hosts: Watch<HostId>,
    last_launchers: BTreeMap<LauncherId, i64>,
    last_hosts: BTreeMap<HostId, i64>,
    /// Silent when this reader began, and ever since.
    silent_before: BTreeSet<HostId>,
}

impl Watcher {
    /// Feeds one successful read, with the instant of the boot-time clock just before it was sent.
    pub fn read(&mut self, instant_ms: u64, contacts: &Contacts) -> Verdicts {
        let launchers: Vec<_> = contacts.launchers.iter().map(|row| (row.launcher, row.contact)).collect();
        let hosts: Vec<_> = contacts.hosts.iter().map(|row| (row.host, row.contact)).collect();
        self.launchers.read(instant_ms, &launchers);
        self.hosts.read(instant_ms, &hosts);
        let said_nothing_new = self.said_nothing_new(contacts);
        let reassignment = self.hosts.reassignment(&said_nothing_new);
        let mut verdicts = Verdicts {
            silent_launchers: Vec::new(),
            returned_launchers: Vec::new(),
            gone_launchers: Vec::new(),
            hosts: Vec::new(),
            silent_hosts: Vec::new(),
            reassignment,
            silences: Vec::new(),
        };
        self.judge_launchers(contacts, &mut verdicts);
        for host in &contacts.hosts {
            self.judge_host(host, &mut verdicts);
        }
        self.last_launchers = launchers.into_iter().collect();
        self.last_hosts = hosts.into_iter().collect();
        verdicts
    }

    /// Hosts whose silence says nothing about what happens now: given up or silent before this reader began, or without
    /// any launcher that has not said goodbye.
    fn said_nothing_new(&mut self, contacts: &Contacts) -> BTreeSet<HostId> {
        for row in &contacts.hosts {
            match (self.last_hosts.get(&row.host), row.presence) {
                (None, Presence::Silent) => {
                    self.silent_before.insert(row.host);
                }
                (Some(before), _) if *before != row.contact => {
                    self.silent_before.remove(&row.host);
                }
                (None | Some(_), Presence::Live | Presence::Silent | Presence::Lost) => {}
            }
        }
        let manned: BTreeSet<HostId> = contacts.launchers.iter().map(|row| row.host).collect();
        let is_old = |row: &&HostContact| {
            row.presence == Presence::Lost
                || self.silent_before.contains(&row.host)
                || !manned.contains(&row.host)
        };
        contacts.hosts.iter().filter(is_old).map(|row| row.host).collect()
    }

    fn judge_launchers(&self, contacts: &Contacts, verdicts: &mut Verdicts) {
        for row in &contacts.launchers {
            let silence = self.launchers.silence(&row.launcher);
            let moved = moved(&self.last_launchers, &row.launcher, row.contact);
            match row.state {
                LauncherState::Live if silence >= SILENT_AFTER => {
                    verdicts.silent_launchers.push((row.launcher, row.contact));
                }
                LauncherState::Silent if moved => {
                    verdicts.returned_launchers.push((row.launcher, row.contact));
                }
                LauncherState::Silent if silence >= GONE_AFTER => verdicts.gone_launchers.push(row.launcher),
                LauncherState::Live | LauncherState::Silent | LauncherState::Ended => {}
            }
        }
    }

    fn judge_host(&self, row: &HostContact, verdicts: &mut Verdicts) {
        let silence = self.hosts.silence(&row.host);
        let lost_after = Duration::from_secs(u64::from(Timeouts::default().host_lost_seconds));
        let moved = moved(&self.last_hosts, &row.host, row.contact);
        let counted = match (self.hosts.presence(&row.host, lost_after), verdicts.reassignment) {
            // Given up only when it is the host.
            (Presence::Lost, Reassignment::Paused { .. }) => Presence::Silent,
            (presence, Reassignment::Allowed | Reassignment::Paused { .. }) => presence,
        };
        // A reader that has just begun knows nothing yet: only a counter that it saw move brings a host back, and what
        // was lost for an earlier reader stays lost.
        let presence = match (row.presence, counted) {
            (Presence::Live, counted) => counted,
            (Presence::Silent | Presence::Lost, _) if moved => Presence::Live,
            (Presence::Silent, Presence::Lost) => Presence::Lost,
            (Presence::Silent, Presence::Live | Presence::Silent) => Presence::Silent,
            (Presence::Lost, Presence::Live | Presence::Silent | Presence::Lost) => Presence::Lost,
        };
        if presence != row.presence {
            verdicts.hosts.push(HostVerdict { host: row.host, contact: row.contact, presence });
        }
        if silence >= SILENT_AFTER {
            verdicts.silent_hosts.push(SilentHost {
                host: row.host,
                contact: row.contact,
                silence,
                guard: row.guard,
            });
        }
        verdicts.silences.push((row.name.clone(), silence));
    }
}

fn moved<K: Ord>(last: &BTreeMap<K, i64>, key: &K, counter: i64) -> bool {
    last.get(key).is_some_and(|before| *before != counter)
}
