//! How the data layer fails.

use tokio_postgres::error::SqlState;

/// What a dead node is told; a pool passes it on as text.
const FENCED: &str = "this node was declared dead; it must start again under a new id";

/// A statement that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or the connection broke.
    #[error("database")]
    Postgres(#[from] tokio_postgres::Error),

    /// No connection could be had.
    #[error("no database connection")]
    Pool(#[from] deadpool_postgres::PoolError),

    /// A migration could not be applied.
    #[error("migration")]
    Migration(#[from] Box<refinery::Error>),

    /// The settings are not usable.
    #[error("{0}")]
    Settings(String),

    /// The node that this connection belongs to is no longer alive.
    #[error("{FENCED}")]
    Fenced,
}

/// What the data layer returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The SQLSTATE, where the server gave one.
    pub fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::Pool(deadpool_postgres::PoolError::Backend(error)) => error.code(),
            _ => None,
        }
    }

    /// The error in one line, as logs have it: what the server refused by its code and message,
    /// without the detail, which quotes rows and so what members wrote; else with all causes.
    pub fn brief(&self) -> String {
        let of_server = match self {
            Self::Postgres(error) => error.as_db_error(),
            Self::Pool(deadpool_postgres::PoolError::Backend(error)) => error.as_db_error(),
            _ => None,
        };
        if let Some(error) = of_server {
            return format!("{}: {}", error.code().code(), error.message());
        }
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |e| e.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Whether the same transaction may succeed if it is run again: 40001, 40P01, and a statement
    /// that took too long or waited too long for a lock.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self.state(),
            Some(
                &SqlState::T_R_SERIALIZATION_FAILURE
                    | &SqlState::T_R_DEADLOCK_DETECTED
                    | &SqlState::QUERY_CANCELED
                    | &SqlState::LOCK_NOT_AVAILABLE
            )
        )
    }

    /// Whether a day has no partition yet.
    pub fn is_missing_partition(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.as_db_error().is_some_and(|error| {
            *error.code() == SqlState::CHECK_VIOLATION
                && error.message().starts_with("no partition of relation")
        })
    }

    /// Whether the node that asked is no longer alive, so that it gets no connection any more.
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::Fenced => true,
            Self::Pool(deadpool_postgres::PoolError::PostCreateHook(error)) => {
                error.to_string().contains(FENCED)
            }
            _ => false,
        }
    }

    /// Whether the connection, or the server, is gone, so that the outcome is not known.
    pub fn is_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => connection_lost(error),
            Self::Pool(deadpool_postgres::PoolError::Backend(error)) => connection_lost(error),
            Self::Pool(_) => !self.is_fenced(),
            Self::Migration(_) | Self::Settings(_) | Self::Fenced => false,
        }
    }
}

fn connection_lost(error: &tokio_postgres::Error) -> bool {
    // Class 57 operator intervention (shutdown, crash), class 08 connection, 53300 too many.
    let code = error.code().map(SqlState::code);
    error.is_closed()
        || code.is_none()
        || code.is_some_and(|c| {
            c.starts_with("57P")
                || c.starts_with("08")
                || c == SqlState::TOO_MANY_CONNECTIONS.code()
        })
}
