//! How the worker fails.

use std::{error::Error as _, fmt::Write as _};

/// A worker that cannot go on, or a step of it that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not usable.
    #[error("{0}")]
    Settings(String),

    /// The database failed, or refused.
    #[error("data layer")]
    Sql(#[from] skein_sql::Error),

    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    Late,
}

/// What the worker's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether this node was declared dead.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Sql(skein_sql::Error::Fenced))
    }

    /// Whether the connection is gone, so that it helps to make another.
    pub fn is_connection(&self) -> bool {
        match self {
            Self::Sql(error) => error.is_connection(),
            Self::Late => true,
            Self::Settings(_) => false,
        }
    }

    /// The error and all its causes in one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(line, ": {error}").expect("a string takes everything");
            cause = error.source();
        }
        line
    }
}
