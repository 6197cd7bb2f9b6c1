//! Edges in this process, each a node of its own on one database, and peers that speak frames.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use skein_crypto::{Keypair, Public, hello, proof};
use skein_edge::{Config, Edge, acceptor::EdgeAcceptor, http, measure};
use skein_embedded::testing::{TestDatabase, database_from};
use skein_openapi::{members::Role, meshes::NewMesh};
use skein_sql::{Connector, Settings, members, meshes, migrate, partitions};
use skein_wire::push::KEPT;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// How long anything that must happen may take.
pub const SOON: Duration = Duration::from_secs(10);
/// How long is long enough to say that something does not happen.
pub const WHILE: Duration = Duration::from_millis(400);

/// Whether somebody waits for a lock in this database.
pub const SOMEBODY_WAITS: &str = "select count(*) > 0 from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'";

/// Lets this much time pass at once for everything in this process that waits for the clock; the
/// database's clock goes on as it does.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| measure::install().unwrap()).clone()
}

/// One database with one mesh, and edges on it.
pub struct TestMesh {
    pub database: TestDatabase,
    pub edges: Vec<TestEdge>,
    pub id: String,
    pub no: i64,
    pub owner: Keypair,
}

/// An edge in this process.
pub struct TestEdge {
    pub edge: Arc<Edge>,
    pub port: u16,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl TestEdge {
    pub async fn start(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = "5a".repeat(32);
        let url = format!("ws://127.0.0.1:{port}/ws");
        let config = Config::read(|name| {
            settings.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()).or_else(|| {
                match name {
                    "DATABASE_URL" => Some(database_url.to_owned()),
                    "SKEIN_DEPLOYMENT_KEY" => Some(key.clone()),
                    "SKEIN_OPERATOR_TOKEN" => Some("operator".to_owned()),
                    "SKEIN_PUBLIC_URL" => Some(url.clone()),
                    _ => None,
                }
            })
        })
        .unwrap();
        let acceptor = EdgeAcceptor::of(listener, &config).unwrap();
        let edge = Edge::start(config, metrics()).await.unwrap();
        let stop = CancellationToken::new();
        let (served, stopping) = (edge.clone(), stop.clone());
        let running = tokio::spawn(async move {
            let server =
                poem::Server::new_with_acceptor(acceptor).run(http::routes(served.clone()));
            let serving = tokio::spawn(server);
            served.run(&stopping).await;
            serving.abort();
        });
        Self { edge, port, stop, running: Some(running) }
    }

    /// Drains the edge as SIGTERM does.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

impl TestMesh {
    /// A mesh with `n_edges` edges.
    pub async fn start(n_edges: usize) -> Self {
        Self::start_with(n_edges, &[]).await
    }

    pub async fn start_with(n_edges: usize, settings: &[(&str, &str)]) -> Self {
        let key = format!("skein{}", migrate::fingerprint());
        let database = database_from(&key, async |url: String| {
            let connector = Connector::new(&url)?;
            migrate::run(&connector).await?;
            let client = connector.connect(Settings::Maintenance).await?;
            partitions::ensure_ahead(&client, 7).await
        })
        .await;
        let mut edges = Vec::new();
        for _ in 0..n_edges {
            edges.push(TestEdge::start(&database.url(), settings).await);
        }
        let owner = Keypair::generate();
        let (id, no) = create_mesh(&edges[0], "test", &owner.public).await;
        Self { database, edges, id, no, owner }
    }

    /// Enrols a member.
    pub async fn member(&self, name: &str) -> Member {
        self.member_of(&self.id, self.no, name).await
    }

    pub async fn member_of(&self, mesh_id: &str, mesh: i64, name: &str) -> Member {
        let keys = Keypair::generate();
        let db = self.edges[0].edge.pool.get().await.unwrap();
        let pubkey = keys.public.hex();
        let member = members::insert(&db, mesh, &pubkey, name, Role::Member).await.unwrap();
        let member = member.expect("the key is new");
        Member { mesh_id: mesh_id.to_owned(), id: member.id, keys, name: name.to_owned() }
    }

    /// Another mesh on the same edges.
    pub async fn other_mesh(&self) -> (String, i64) {
        self.other_mesh_named("other").await
    }

    /// Another mesh of this slug on the same edges.
    pub async fn other_mesh_named(&self, slug: &str) -> (String, i64) {
        create_mesh(&self.edges[0], slug, &Keypair::generate().public).await
    }

    /// Runs statements as the database's owner.
    pub async fn run(&self, statements: &str) {
        let db = self.edges[0].edge.pool.get().await.unwrap();
        db.batch_execute(statements).await.unwrap();
    }

    /// The one value that this query finds, as text.
    pub async fn ask(&self, query: &str) -> Option<String> {
        let db = self.edges[0].edge.pool.get().await.unwrap();
        let sql = format!("select (value)::text from ({query}) as found(value)");
        db.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Waits until this query finds `wanted`.
    pub async fn until(&self, query: &str, wanted: &str) {
        let asking = async {
            while self.ask(query).await.as_deref() != Some(wanted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, asking).await.unwrap_or_else(|_| panic!("not {wanted}: {query}"));
    }

    /// A new member with one session of ours, on this edge.
    pub async fn peer(&self, name: &str, edge: usize) -> Peer {
        let member = self.member(name).await;
        Peer::connect(&self.edges[edge], &member, Keypair::generate(), OURS).await
    }

    /// A new member with one session of an old client, on this edge.
    pub async fn old_peer(&self, name: &str, edge: usize) -> Peer {
        let member = self.member(name).await;
        Peer::connect(&self.edges[edge], &member, Keypair::generate(), OLD).await
    }
}

async fn create_mesh(edge: &TestEdge, slug: &str, owner: &Public) -> (String, i64) {
    let db = edge.edge.pool.get().await.unwrap();
    let new = NewMesh {
        slug: slug.to_owned(),
        name: slug.to_owned(),
        owner_pubkey: owner.hex(),
        member_pubkey: None,
        display_name: "owner".to_owned(),
    };
    let mesh = meshes::create(&db, &new).await.unwrap().expect("the slug is free");
    (mesh.id, mesh.no)
}

/// A member and its key.
#[derive(Clone)]
pub struct Member {
    pub mesh_id: String,
    pub id: String,
    pub keys: Keypair,
    pub name: String,
}

/// Caps of our long-lived client.
pub const OURS: &[&str] = &["ack", "replies", "inbox"];
/// Caps of the 0.8.9 client.
pub const OLD: &[&str] = &[];

/// A session's socket.
pub struct Peer {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub member: Member,
    pub session: Keypair,
    /// The `hello_ack`.
    pub welcome: Value,
    /// Whether pushes are acknowledged as they come.
    pub acks: bool,
    seen: Vec<Value>,
    n: u64,
}

/// A hello of this session, signed now.
pub fn hello_frame(member: &Member, session: &Keypair, caps: &[&str]) -> Value {
    let now = jiff::Timestamp::now().as_millisecond();
    let mesh = member.mesh_id.as_str();
    let signature = hello::sign(&member.keys.secret, mesh, &member.id, now);
    let mut frame = json!({
        "type": "hello", "meshId": mesh, "memberId": member.id,
        "pubkey": member.keys.public.hex(), "sessionPubkey": session.public.hex(),
        "displayName": member.name, "sessionId": "s-1", "pid": 7, "cwd": "/w",
        "hostname": "host", "peerType": "ai", "channel": "claude-code",
        "timestamp": now, "signature": signature.hex(),
    });
    if !caps.is_empty() {
        frame["caps"] = json!(caps);
        frame["client"] = json!("test/1");
        frame["sessionProof"] = json!(proof::sign(&member.keys.secret, mesh, &session.public, now));
    }
    frame
}

impl Peer {
    /// Connects and says hello.
    pub async fn connect(
        edge: &TestEdge,
        member: &Member,
        session: Keypair,
        caps: &[&str],
    ) -> Self {
        let frame = hello_frame(member, &session, caps);
        let mut peer = Self::open(edge, member, session).await;
        peer.acks = caps.contains(&"ack");
        peer.send(&frame).await;
        peer.welcome = peer.next().await;
        assert_eq!(peer.welcome["type"], "hello_ack", "{}", peer.welcome);
        peer
    }

    /// Connects and says nothing.
    pub async fn open(edge: &TestEdge, member: &Member, session: Keypair) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", edge.port);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let (welcome, seen) = (Value::Null, Vec::new());
        Self { socket, member: member.clone(), session, welcome, acks: false, seen, n: 0 }
    }

    /// The session's key.
    pub fn key(&self) -> String {
        self.session.public.hex()
    }

    pub async fn send(&mut self, frame: &Value) {
        self.text(frame.to_string()).await;
    }

    pub async fn text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame, as it comes; a close is `{"close": code, "reason": …}`.
    pub async fn next(&mut self) -> Value {
        if !self.seen.is_empty() {
            return self.seen.remove(0);
        }
        timeout(SOON, self.read()).await.expect("a frame comes in time")
    }

    async fn read(&mut self) -> Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let is_event = frame["subtype"] == "system"
                        && !frame["event"].as_str().is_some_and(|name| KEPT.contains(&name));
                    if self.acks && frame["type"] == "push" && !is_event {
                        let ids = json!([frame["messageId"]]);
                        self.send(&json!({"type": "received", "messageIds": ids})).await;
                    }
                    return frame;
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    let code = u16::from(close.code);
                    return json!({"close": code, "reason": close.reason.as_str()});
                }
                Some(Ok(_)) => (),
                Some(Err(error)) => return json!({"close": 1006, "reason": error.to_string()}),
                None => return json!({"close": 1006, "reason": "ended"}),
            }
        }
    }

    /// Waits for the edge to close the socket, and says with which code.
    pub async fn closed(&mut self) -> u64 {
        let closed = timeout(SOON, async {
            loop {
                if let Some(code) = self.read().await.get("close") {
                    return code.as_u64().unwrap();
                }
            }
        });
        closed.await.expect("the edge closes in time")
    }

    /// The next frame that `wanted` takes; the others are kept for later.
    pub async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(i) = self.seen.iter().position(&wanted) {
            return self.seen.remove(i);
        }
        let found = timeout(SOON, async {
            loop {
                let frame = self.read().await;
                if wanted(&frame) {
                    return frame;
                }
                assert!(frame.get("close").is_none(), "closed while waiting: {frame}");
                self.seen.push(frame);
            }
        });
        match found.await {
            Ok(frame) => frame,
            Err(_) => panic!("nothing like that came; seen: {:?}", self.seen),
        }
    }

    /// The next message (no system event).
    pub async fn push(&mut self) -> Value {
        self.find(|f| f["type"] == "push" && f["subtype"] != "system").await
    }

    /// The next system event of that name.
    pub async fn event(&mut self, name: &str) -> Value {
        self.find(|f| f["type"] == "push" && f["event"] == name).await
    }

    /// Waits a while and says which frames came that `wanted` takes.
    pub async fn quiet(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut came: Vec<Value> = Vec::new();
        let _ = timeout(WHILE, async {
            loop {
                let frame = self.read().await;
                if frame.get("close").is_some() {
                    return;
                }
                self.seen.push(frame);
            }
        })
        .await;
        let (wanted, others) = std::mem::take(&mut self.seen).into_iter().partition(wanted);
        self.seen = others;
        came.extend::<Vec<Value>>(wanted);
        came
    }

    /// What came and was not asked for, up to the answer to a question asked now; events, which may
    /// come late, are left out.
    pub async fn rest(&mut self) -> Vec<Value> {
        self.call(json!({"type": "list_peers"})).await;
        self.seen.drain(..).filter(|frame| frame["subtype"] != "system").collect()
    }

    /// Who is here, as this peer is told.
    pub async fn peers(&mut self) -> Vec<Value> {
        let list = self.call(json!({"type": "list_peers"})).await;
        assert_eq!(list["type"], "peers_list", "{list}");
        list["peers"].as_array().unwrap().clone()
    }

    /// How this peer's own session is listed.
    pub async fn me(&mut self) -> Value {
        let key = json!(self.key());
        self.peers().await.into_iter().find(|peer| peer["pubkey"] == key).expect("it is here")
    }

    /// Says goodbye to nobody: the connection is just gone.
    pub fn vanish(self) {
        drop(self.socket);
    }

    /// Comes back with the same session on this edge.
    pub async fn back(self, edge: &TestEdge, caps: &[&str]) -> Self {
        let (member, session) = (self.member.clone(), self.session.clone());
        self.close().await;
        Self::connect(edge, &member, session, caps).await
    }

    /// Sends a request and returns what answers it.
    pub async fn call(&mut self, mut frame: Value) -> Value {
        self.n += 1;
        let id = format!("r{}", self.n);
        frame["_reqId"] = json!(id);
        self.send(&frame).await;
        self.find(|f| f["_reqId"] == json!(id)).await
    }

    /// Sends a message and returns its `ack` or `error`.
    pub async fn message(&mut self, to: &str, priority: &str, body: &str) -> Value {
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.message_with_id(&id, to, priority, body).await
    }

    pub async fn message_with_id(
        &mut self,
        id: &str,
        to: &str,
        priority: &str,
        body: &str,
    ) -> Value {
        self.send(&json!({"type": "send", "id": id, "targetSpec": to, "priority": priority,
                          "nonce": "n", "ciphertext": body}))
            .await;
        let id = id.to_owned();
        self.find(|f| f["id"] == json!(id) && (f["type"] == "ack" || f["type"] == "error")).await
    }

    /// Closes as a client that is done.
    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        let ended = timeout(SOON, async { while self.socket.next().await.is_some() {} });
        ended.await.expect("the edge answers the close");
    }
}
