//! Direct connections: no transaction pooler stands between us and the server.
//!
//! Behind one, every transaction may run on another backend: LISTEN hears nothing, a session lock
//! belongs to somebody else, and ending a node's backends ends those of others.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{Connector, Error, Result, Settings, statement::statements};

statements! {
    WHO = "
        select pg_backend_pid() as pid";
}

/// What is said when there is a pooler.
pub const POOLER: &str = "DATABASE_URL leads through a transaction pooler; LISTEN, session locks \
                          and prepared statements need a direct connection";

/// Makes sure that the URL leads to the server directly.
///
/// # Errors
/// [`Error::Settings`] with [`POOLER`] when it does not; otherwise as [`Connector::connect`].
pub async fn require(connector: &Connector) -> Result<()> {
    let (first, second) = (connect(connector).await?, connect(connector).await?);
    let before = backend(&first).await?;
    // A pooler that takes its servers in turn gives another already now.
    let mut is_direct = backend(&first).await? == before;
    // One that prefers the last used gives it to the second, or the first another meanwhile.
    second.batch_execute("begin").await?;
    let other = backend(&second).await?;
    // A pool of one server would let the first wait for ever.
    is_direct = is_direct && other != before;
    is_direct = is_direct && backend(&first).await? == before;
    second.batch_execute("commit").await?;
    if is_direct { Ok(()) } else { Err(pooler()) }
}

/// Poolers refuse the settings that our connections start with.
async fn connect(connector: &Connector) -> Result<Client> {
    connector.connect(Settings::Ordinary).await.map_err(|error| match &error {
        Error::Postgres(cause) if is_refused_parameter(cause) => pooler(),
        _ => error,
    })
}

fn is_refused_parameter(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|e| e.message().starts_with("unsupported startup parameter"))
}

fn pooler() -> Error {
    Error::Settings(POOLER.into())
}

/// Not prepared, so that a pooler is not noticed by something else first.
async fn backend(db: &Client) -> Result<Option<String>> {
    let messages = db.simple_query(WHO).await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get("pid").map(str::to_owned),
        _ => None,
    }))
}
