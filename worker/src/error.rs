//! How the worker fails.

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

    /// The error in one line, as logs have it.
    pub fn chain(&self) -> String {
        match self {
            Self::Sql(error) => format!("{self}: {}", error.brief()),
            Self::Settings(_) | Self::Late => self.to_string(),
        }
    }
}
