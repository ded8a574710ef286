//! A server that somebody else runs: does it answer, and is it new enough?

use std::{str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{Error, MINIMUM_MAJOR};

const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn check(url: &str) -> Result<(), Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|source| Error::Unreachable { place: "not a PostgreSQL URL".to_owned(), source })?
        .disable_statement_logging();
    let place = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_else(|| options.get_username())
    );
    let work = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let (version,): (String,) =
            sqlx::query_as("show server_version_num").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(version)
    };
    let version = match timeout(LIMIT, work).await {
        Ok(Ok(version)) => version,
        Ok(Err(source)) => return Err(Error::Unreachable { place, source }),
        Err(_) => return Err(Error::Silent { place, seconds: LIMIT.as_secs() }),
    };
    // 150018 is 15.18; something else that speaks the protocol is taken at its word.
    match version.parse::<u32>() {
        Ok(number) if number / 10_000 < MINIMUM_MAJOR => Err(Error::ServerTooOld { major: number / 10_000 }),
        Ok(_) | Err(_) => Ok(()),
    }
}
