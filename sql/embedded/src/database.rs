//! A database that the user gave, or one of a private server.

use crate::{Options, Result, Server};

/// Where to keep things: somebody's PostgreSQL, or our own.
#[derive(Debug)]
pub enum Database {
    /// The URL of a database that somebody else runs.
    Given(String),
    /// Ours, which stops with this value.
    Private(Box<Server>, String),
}

impl Database {
    /// Takes the given URL, else starts a private server and makes the database in it.
    pub async fn open(given: Option<String>, name: &str, options: Options) -> Result<Self> {
        if let Some(url) = given {
            return Ok(Self::Given(url));
        }
        let server = Server::start(options).await?;
        let url = server.create_database(name).await?;
        Ok(Self::Private(Box::new(server), url))
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        match self {
            Self::Given(url) | Self::Private(_, url) => url,
        }
    }

    /// Stops the server if it is ours.
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Private(server, _) => server.stop().await,
        }
    }
}
