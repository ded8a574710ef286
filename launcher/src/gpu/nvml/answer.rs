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
