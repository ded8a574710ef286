//! What every role shares: the database, the queue, telemetry and configuration.
//!
//! Knows no container engine and serves no product routes.

pub mod db;
pub mod ids;
pub mod metric;

#[doc(hidden)]
pub mod queue {
    //! To be replaced.
    use crate::db::{Conn, Error};
    use cyberbrain_core::ids::RunId;
    pub enum RunTask {
        Close(RunId),
    }
    pub async fn push_runs(_c: &mut Conn, _t: &[RunTask]) -> Result<(), Error> {
        Ok(())
    }
    pub async fn setup(_url: &str) -> Result<(), Error> {
        Ok(())
    }
}
