//! Where a server is, and one question to it.

use std::net::TcpListener;

use rand::Rng as _;
use tokio_postgres::{NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::template::ROLE;
use crate::{Error, Result};

/// Where free ports are looked for: below those that systems give to outgoing connections, which
/// could otherwise take ours while the server restarts.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Where to connect.
pub fn url(password: &str, port: u16, database: &str) -> String {
    format!("postgres://{}:{password}@127.0.0.1:{port}/{database}", ROLE)
}

/// One statement over a connection of its own.
pub async fn query(url: &str, statement: &str) -> Result<Vec<SimpleQueryRow>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(statement).await;
    drop(client);
    // Its error is the statement's error, told better there.
    connection.await.ok();
    let rows = messages?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// A fresh password of 128 bits.
pub fn random_password() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// A port that nobody listens on. Somebody may before we do, so a start tries again.
pub fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    let mut ports = (0..100).map(|_| random.random_range(PORTS));
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let none = || Error::Start { log: "no port of 127.0.0.1 is free".to_owned() };
    ports.find(is_free).ok_or_else(none)
}
