//! `Col`: reads a text column straight into a closed enum.

use std::{error::Error, str::FromStr};

use sqlx::{Decode, Postgres, Type, error::BoxDynError, postgres::PgTypeInfo, postgres::PgValueRef};

/// A text column that holds one of a closed enum's names. Written as `"status: Col<RunStatus>"` in a query.
///
/// Decoding fails on an unknown name, with the names that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Col<T>(pub T);

impl<T> Type<Postgres> for Col<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(other)
    }
}

impl<'r, T> Decode<'r, Postgres> for Col<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<&str as Decode<'r, Postgres>>::decode(value)?.parse()?))
    }
}
