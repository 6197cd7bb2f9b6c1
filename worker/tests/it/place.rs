//! A database with the schema, workers in this process, and what the tables say of them.

use std::time::Duration;

use skein_embedded::testing::{self, TestDatabase};
use skein_sql::{Connector, Settings, migrate, nodes};
use skein_worker::{Ages, Options, Timing};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row, types::ToSql};
use tokio_util::sync::CancellationToken;

/// What has to happen in a test happens within this, also on a machine that is busy with others.
pub const SOON: Duration = Duration::from_secs(30);

/// A second of the product is a tenth of it here, and a beat may be late by more.
pub const QUICK: Timing = Timing {
    beat: Duration::from_millis(200),
    still_max: Duration::from_millis(2500),
    read_max: Duration::from_millis(1000),
    look: Duration::from_millis(100),
};

/// How many buckets of the sweep each worker holds, in the order of their nodes.
const HELD: &str = "
    select seat.objid::bigint - 64 as node,
           count(bucket.objid) as n
      from pg_locks seat
      left join pg_locks bucket
             on bucket.locktype = 'advisory' and bucket.pid = seat.pid
            and bucket.classid = seat.classid and bucket.objid < 64
     where seat.locktype = 'advisory' and seat.objsubid = 2 and seat.objid >= 64
       and seat.classid::bigint = x'736b0001'::bigint
       and seat.database = (select oid from pg_database where datname = current_database())
     group by seat.objid
     order by seat.objid";

/// A database, and a connection of the test.
pub struct Place {
    pub url: String,
    pub connector: Connector,
    pub db: Client,
    /// Dropped last.
    _database: Option<TestDatabase>,
}

impl Place {
    pub async fn new() -> Self {
        let database = testing::database_from(&migrate::fingerprint(), prepare).await;
        let place = Self::at(&database.url()).await;
        Self { _database: Some(database), ..place }
    }

    /// Somebody else's database.
    pub async fn at(url: &str) -> Self {
        prepare(url.to_owned()).await.unwrap();
        let connector = Connector::new(url).unwrap();
        let db = connector.connect(Settings::Ordinary).await.unwrap();
        Self { url: url.to_owned(), connector, db, _database: None }
    }

    pub fn options(&self) -> Options {
        let ages = Ages { grace: Duration::from_millis(300), ..Ages::default() };
        let options = Options::new(self.connector.clone(), "test".into());
        Options { timing: QUICK, ages, ..options }
    }

    pub fn worker(&self) -> Worker {
        Worker::start(self.options())
    }

    pub async fn run(&self, text: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        self.db.execute(text, parameters).await.unwrap()
    }

    pub async fn row(&self, text: &str, parameters: &[&(dyn ToSql + Sync)]) -> Row {
        self.db.query_one(text, parameters).await.unwrap()
    }

    /// Who holds how many buckets: (node, buckets).
    pub async fn held(&self) -> Vec<(i64, i64)> {
        let rows = self.db.query(HELD, &[]).await.unwrap();
        rows.iter().map(|row| (row.get("node"), row.get("n"))).collect()
    }

    /// Waits until the buckets are held in these shares, from most to least; returns who holds
    /// them.
    pub async fn shared(&self, shares: &[i64]) -> Vec<(i64, i64)> {
        let mut held = Vec::new();
        until(async || {
            held = self.held().await;
            let mut sizes: Vec<i64> = held.iter().map(|h| h.1).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes == shares
        })
        .await;
        held
    }

    pub async fn node(&self, kind: &str) -> i32 {
        nodes::create(&self.db, kind, "", None).await.unwrap()
    }

    /// Where a node is; `gone` when it has no row.
    pub async fn state(&self, node: i32) -> String {
        let read = "select state from node where id = $1";
        let row = self.db.query_opt(read, &[&node]).await.unwrap();
        row.map_or_else(|| "gone".into(), |row| row.get(0))
    }

    /// Waits until the node is there.
    pub async fn reaches(&self, node: i32, state: &str) {
        until(async || self.state(node).await == state).await;
    }

    /// A session of a mesh `m`, attached to a node; returns its mailbox.
    pub async fn session(&self, name: &str, node: i32) -> i64 {
        let make = "
            with mesh as (
                insert into mesh (id, slug, name, owner_key) values ('m', 'm', 'm', repeat('0', 64))
                    on conflict (id) do update set name = 'm'
                returning no),
            member as (
                insert into member (id, mesh, pubkey, display_name, role)
                select 'm', no, repeat('0', 64), 'm', 'owner' from mesh
                    on conflict (mesh, pubkey) do update set display_name = 'm'
                returning mailbox),
            session as (
                insert into session (mesh, member, key, attach_no, announced, display_name,
                                     session_id, pid, cwd)
                select mesh.no, member.mailbox, encode(sha256($1::text::bytea), 'hex'), 1, 'here',
                       $1, $1, 1, '/'
                  from mesh, member
                returning mailbox, mesh, member)
            insert into presence (session, mesh, member, node, attach_no, id)
            select mailbox, mesh, member, $2, 1, 'p' from session
            returning session";
        self.row(make, &[&name, &node]).await.get(0)
    }
}

async fn prepare(url: String) -> Result<(), skein_sql::Error> {
    migrate::run(&Connector::new(&url)?).await
}

/// A worker in this process. It is cut off, not stopped, when this is dropped.
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<skein_worker::Result<()>>,
}

impl Worker {
    pub fn start(options: Options) -> Self {
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { skein_worker::run(&options, &token).await });
        Self { stop, task }
    }

    /// Stops it as SIGTERM does, and waits.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, &mut self.task).await;
        ended.expect("a worker stops soon").expect("it does not panic").expect("it ends well");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beats for a node that has no program, until this is dropped.
pub struct Heart(JoinHandle<()>);

impl Heart {
    pub fn start(connector: &Connector, node: i32) -> Self {
        let connector = connector.clone();
        Self(tokio::spawn(async move {
            loop {
                if let Ok(db) = connector.connect(Settings::Ordinary).await {
                    while nodes::beat(&db, node).await.is_ok() {
                        tokio::time::sleep(QUICK.beat).await;
                    }
                }
                tokio::time::sleep(QUICK.beat).await;
            }
        }))
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until `check` is true.
pub async fn until(mut check: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, looking).await.expect("it happens soon");
}
