//! A database with the schema, and short ways to put things into it.

use std::time::Duration;

use skein_embedded::testing::{self, TestDatabase};
use skein_sql::{Connector, Settings, migrate, nodes, partitions};
use tokio_postgres::{Client, Row, types::ToSql};

/// What has to happen in a test happens within this.
pub const SOON: Duration = Duration::from_secs(10);

/// A database of this test alone.
pub struct Place {
    /// In nobody's name.
    pub connector: Connector,
    /// A connection of the test.
    pub db: Client,
    /// Dropped last.
    pub database: TestDatabase,
}

impl Place {
    pub async fn new() -> Self {
        let key = format!("{} and partitions", migrate::fingerprint());
        let database = testing::database_from(&key, prepare).await;
        let connector = Connector::new(&database.url()).unwrap();
        let db = connector.connect(Settings::Ordinary).await.unwrap();
        Self { connector, db, database }
    }

    pub async fn connect(&self) -> Client {
        self.connector.connect(Settings::Ordinary).await.unwrap()
    }

    /// Runs any statement.
    pub async fn run(&self, text: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        self.db.execute(text, parameters).await.unwrap()
    }

    /// Reads one row.
    pub async fn row(&self, text: &str, parameters: &[&(dyn ToSql + Sync)]) -> Row {
        self.db.query_one(text, parameters).await.unwrap()
    }

    /// Reads one number.
    pub async fn count(&self, text: &str) -> i64 {
        self.row(text, &[]).await.get(0)
    }

    pub async fn node(&self, kind: &str) -> i32 {
        nodes::create(&self.db, kind, "", None).await.unwrap()
    }

    pub async fn set_state(&self, node: i32, state: &str) {
        self.run("update node set state = $2, dead_at = now() where id = $1", &[&node, &state])
            .await;
    }

    pub async fn state(&self, node: i32) -> String {
        self.row("select state from node where id = $1", &[&node]).await.get(0)
    }

    /// A mesh with one member: the mesh's number and the member's mailbox.
    pub async fn mesh(&self, name: &str) -> (i64, i64) {
        let key = "0".repeat(64);
        let insert = "insert into mesh (id, slug, name, owner_key) values ($1, $1, $1, $2)
                      returning no";
        let mesh: i64 = self.row(insert, &[&name, &key]).await.get(0);
        let insert = "insert into member (id, mesh, pubkey, display_name, role)
                      values ($1, $2, $3, $1, 'owner') returning mailbox";
        (mesh, self.row(insert, &[&name, &mesh, &key]).await.get(0))
    }

    /// A session that is announced and not attached.
    pub async fn session(&self, mesh: (i64, i64), name: &str) -> i64 {
        let insert = "insert into session (mesh, member, key, attach_no, announced, display_name,
                                           session_id, pid, cwd)
                      values ($1, $2, encode(sha256($3::text::bytea), 'hex'), 1, 'here', $3, $3, 1,
                              '/')
                      returning mailbox";
        self.row(insert, &[&mesh.0, &mesh.1, &name]).await.get(0)
    }

    /// Attaches a session to a node.
    pub async fn attach(&self, session: i64, node: i32) {
        self.run(
            "insert into presence (session, mesh, member, node, attach_no, id)
             select mailbox, mesh, member, $2, attach_no, 'p' from session where mailbox = $1",
            &[&session, &node],
        )
        .await;
    }

    /// A message for a mailbox that was told to a node; returns its number.
    pub async fn deliver(&self, mesh: (i64, i64), recipient: i64, node: i32) -> i64 {
        let insert = "insert into delivery (seq, recipient, mesh, node, at, class, bytes, xid)
                      values (nextval('message_seq'), $2, $1, $3, now(), 1, 100,
                              pg_current_xact_id())
                      returning seq";
        self.row(insert, &[&mesh.0, &recipient, &node]).await.get(0)
    }
}

async fn prepare(url: String) -> Result<(), skein_sql::Error> {
    let connector = Connector::new(&url)?;
    migrate::run(&connector).await?;
    let db = connector.connect(Settings::Ordinary).await?;
    partitions::ensure_ahead(&db, 2).await
}

/// Waits until `check` is true.
pub async fn until(mut check: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, looking).await.expect("it happens soon");
}
