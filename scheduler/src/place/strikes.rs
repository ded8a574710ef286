//! Hosts whose plans the ledger keeps refusing are left alone for a while, so that their work goes elsewhere.
//!
//! One refusal is a race and costs nothing. In memory only: a new leader tries again.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_core::ids::HostId;
use tokio::time::Instant;

use super::Hosts;

/// Refusals in a row before a host is left alone.
const PATIENCE: u32 = 2;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Strikes(BTreeMap<HostId, Strike>);

#[derive(Debug, Clone, Copy)]
struct Strike {
    in_a_row: u32,
    until: Instant,
}

impl Strikes {
    /// A plan for this host was refused.
    pub fn strike(&mut self, host: HostId, now: Instant) {
        let strike = self.0.entry(host).or_insert(Strike { in_a_row: 0, until: now });
        strike.in_a_row += 1;
        if let Some(doublings) = strike.in_a_row.checked_sub(PATIENCE) {
            let pause = FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
            strike.until = now + pause.min(LONGEST);
        }
    }

    /// A plan for this host was committed.
    pub fn forgive(&mut self, host: HostId) {
        self.0.remove(&host);
    }

    /// Hosts that are left alone now.
    pub fn sidelined(&self, now: Instant) -> Hosts {
        self.0.iter().filter(|(_, strike)| strike.until > now).map(|(host, _)| *host).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_is_left_alone_longer_each_time_until_a_plan_succeeds() {
        let host: HostId = Uuid::from_u128(1).into();
        let other: HostId = Uuid::from_u128(2).into();
        let mut strikes = Strikes::default();
        let now = Instant::now();
        let left_alone = |strikes: &Strikes, seconds: u64| {
            strikes.sidelined(now + Duration::from_secs(seconds)).contains(&host)
        };
        strikes.strike(host, now);
        assert!(!left_alone(&strikes, 0), "one refusal is a race");
        for (until, after) in [(4, 5), (9, 10), (19, 20)] {
            strikes.strike(host, now);
            assert!(left_alone(&strikes, until) && !left_alone(&strikes, after), "{until} s");
        }
        for _ in 0..60 {
            strikes.strike(host, now);
        }
        assert!(left_alone(&strikes, 299) && !left_alone(&strikes, 300));
        strikes.forgive(other);
        assert!(left_alone(&strikes, 0));
        strikes.forgive(host);
        assert!(!left_alone(&strikes, 0));
    }
}
