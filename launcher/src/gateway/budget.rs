//! What one attempt may still ask for: pure.

/// Bounds of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Tokens in all; absent means no bound.
    pub tokens: Option<u64>,
    /// Calls at once.
    pub calls: u32,
}

/// What an attempt has used, and what it is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// The sum that the database had when it was last asked; what siblings counted is in it.
    pub recorded: u64,
    /// What the database had when we first asked, and all that we counted since: what was not written yet is in it.
    pub counted: u64,
    /// Calls that are open here.
    pub open: u32,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Tokens { used: u64, limit: u64 },
    Calls { limit: u32 },
}

impl Use {
    /// Neither of the two sums counts a call twice, so the larger one is nearer to the truth.
    pub(super) const fn tokens(&self) -> u64 {
        if self.recorded > self.counted { self.recorded } else { self.counted }
    }
}

impl Limits {
    /// Whether one more call may begin. A call that has begun is not broken off, so the last one may go over.
    pub(super) fn admit(&self, usage: &Use) -> Result<(), Exceeded> {
        let used = usage.tokens();
        if let Some(limit) = self.tokens.filter(|limit| used >= *limit) {
            return Err(Exceeded::Tokens { used, limit });
        }
        if usage.open >= self.calls {
            return Err(Exceeded::Calls { limit: self.calls });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_begins_while_the_budget_is_not_spent_and_a_place_is_free() {
        let limits = Limits { tokens: Some(100), calls: 2 };
        let usage = |recorded, counted, open| Use { recorded, counted, open };
        let table = [
            (usage(0, 0, 0), Ok(())),
            (usage(99, 0, 1), Ok(())),
            (usage(0, 99, 1), Ok(())),
            (usage(60, 60, 0), Ok(())),
            (usage(100, 0, 0), Err(Exceeded::Tokens { used: 100, limit: 100 })),
            (usage(0, 130, 0), Err(Exceeded::Tokens { used: 130, limit: 100 })),
            (usage(0, 0, 2), Err(Exceeded::Calls { limit: 2 })),
            (usage(200, 0, 2), Err(Exceeded::Tokens { used: 200, limit: 100 })),
        ];
        for (usage, expected) in table {
            assert_eq!(limits.admit(&usage), expected, "{usage:?}");
        }
        let unbounded = Limits { tokens: None, calls: 2 };
        assert_eq!(unbounded.admit(&usage(u64::MAX, u64::MAX, 1)), Ok(()));
    }
}
