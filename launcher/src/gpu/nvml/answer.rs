//! What each error of the library means: about one value, about one card, or about the driver.

use nvml_wrapper::error::NvmlError;

use crate::gpu::{GpuHealth, ProbeStatus};

/// Why a card could not be looked at.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Only this card.
    Gpu(GpuHealth),
    /// The driver as a whole.
    Driver(ProbeStatus),
}

impl From<NvmlError> for Trouble {
    fn from(error: NvmlError) -> Self {
        match error {
            // `NotFound` for a UUID that was there: gone from the bus.
            NvmlError::GpuLost | NvmlError::NotFound => Self::Gpu(GpuHealth::Lost),
            NvmlError::ResetRequired => Self::Gpu(GpuHealth::ResetRequired),
            NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch
            | NvmlError::LibraryNotFound => Self::Driver(library_status(&error)),
            other => Self::Gpu(GpuHealth::Unreadable { why: other.to_string() }),
        }
    }
}

/// One value that a card may or may not tell.
pub(super) struct Answer;

impl Answer {
    /// `None` if this card, driver or user can't have that value; an error if it says more than that.
    pub(super) fn of<T>(result: Result<T, NvmlError>) -> Result<Option<T>, Trouble> {
        match result {
            Ok(value) => Ok(Some(value)),
            // A slice answers some questions about cards with "invalid argument", an older driver lacks
            // functions, and a list may grow while it is read.
            Err(
                NvmlError::NotSupported
                | NvmlError::InvalidArg
                | NvmlError::NoPermission
                | NvmlError::NoData
                | NvmlError::InsufficientSize(_)
                | NvmlError::FunctionNotFound
                | NvmlError::FailedToLoadSymbol(_),
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same for a value that placement can do without: a card on which one sensor makes no sense is not
    /// unreadable for that.
    pub(super) fn aside<T>(result: Result<T, NvmlError>) -> Result<Option<T>, Trouble> {
        match Self::of(result) {
            Err(Trouble::Gpu(GpuHealth::Unreadable { .. })) => Ok(None),
            other => other,
        }
    }
}

/// Why the library as a whole does not serve.
pub(super) fn library_status(error: &NvmlError) -> ProbeStatus {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => ProbeStatus::NoLibrary,
        NvmlError::DriverNotLoaded => ProbeStatus::DriverNotLoaded,
        NvmlError::LibRmVersionMismatch => ProbeStatus::VersionMismatch,
        NvmlError::NoPermission => ProbeStatus::NoPermission,
        other => ProbeStatus::Failed { why: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error of the library, by what it says about a value, a lesser value, and the whole.
    #[test]
    fn every_error_has_one_meaning() {
        use NvmlError as E;
        let word = |answer: Result<Option<()>, Trouble>| match answer {
            Ok(Some(())) => "told",
            Ok(None) => "untold",
            Err(Trouble::Gpu(GpuHealth::Healthy)) => "healthy",
            Err(Trouble::Gpu(GpuHealth::Lost)) => "lost",
            Err(Trouble::Gpu(GpuHealth::ResetRequired)) => "reset",
            Err(Trouble::Gpu(GpuHealth::Unreadable { .. })) => "unreadable",
            Err(Trouble::Driver(_)) => "driver",
        };
        type Row = (fn() -> E, &'static str, &'static str);
        let table: [Row; 13] = [
            (|| E::NotSupported, "untold", "untold"),
            (|| E::InvalidArg, "untold", "untold"),
            (|| E::NoPermission, "untold", "untold"),
            (|| E::FailedToLoadSymbol(String::new()), "untold", "untold"),
            (|| E::InsufficientSize(None), "untold", "untold"),
            (|| E::GpuLost, "lost", "lost"),
            (|| E::NotFound, "lost", "lost"),
            (|| E::ResetRequired, "reset", "reset"),
            (|| E::DriverNotLoaded, "driver", "driver"),
            (|| E::LibRmVersionMismatch, "driver", "driver"),
            (|| E::Uninitialized, "driver", "driver"),
            (|| E::Unknown, "unreadable", "untold"),
            (|| E::UnexpectedVariant(77), "unreadable", "untold"),
        ];
        for (error, value, lesser) in table {
            assert_eq!(word(Answer::of(Err(error()))), value, "{}", error());
            assert_eq!(word(Answer::aside(Err(error()))), lesser, "{}", error());
        }
        assert_eq!(word(Answer::of(Ok(()))), "told");
    }

    #[test]
    fn a_library_that_does_not_serve_says_why() {
        assert_eq!(library_status(&NvmlError::DriverNotLoaded), ProbeStatus::DriverNotLoaded);
        assert_eq!(library_status(&NvmlError::LibRmVersionMismatch), ProbeStatus::VersionMismatch);
        assert_eq!(library_status(&NvmlError::NoPermission), ProbeStatus::NoPermission);
        assert!(matches!(library_status(&NvmlError::Unknown), ProbeStatus::Failed { .. }));
    }
}
