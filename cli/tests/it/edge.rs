//! A scripted edge: a real socket on which a test says what the edge says. It is for what a real
//! one does only rarely or never; everything else is tested against the real one.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use skein::client::{Client, Config, Incoming, Pushes};
use skein_crypto::{Keypair, plain};
use skein_wire::hello::SERVES;
use skein_wire::presence::ListPeers;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Whatever a test waits for comes within this, or the test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A listener that speaks only when told to.
pub struct Edge {
    listener: TcpListener,
    /// Its socket URL.
    pub url: String,
}

/// A client's socket at the edge.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// What it said first.
    pub hello: Value,
}

impl Edge {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Takes a connection and reads its hello, without an answer.
    pub async fn greeted(&self) -> Peer {
        let work = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            Peer::accept(stream).await
        };
        timeout(DEADLINE, work).await.expect("a client connects")
    }

    /// Takes a connection and accepts its hello.
    pub async fn attached(&self) -> Peer {
        let mut peer = self.greeted().await;
        peer.acknowledge(&[]).await;
        peer
    }
}

impl Peer {
    /// Takes a connection and reads its hello.
    pub async fn accept(stream: TcpStream) -> Self {
        let mut peer = Self { socket: accept_async(stream).await.unwrap(), hello: Value::Null };
        peer.hello = peer.receive().await;
        peer
    }

    pub async fn send(&mut self, frame: Value) {
        self.socket.send(Message::Text(frame.to_string().into())).await.unwrap();
    }

    pub async fn acknowledge(&mut self, edges: &[&str]) {
        self.send(json!({
            "type": "hello_ack", "presenceId": "P", "memberDisplayName": "Ann",
            "services": [], "edges": edges, "serves": SERVES,
        }))
        .await;
    }

    /// Accepts a hello as a server does that knows none of the extensions.
    pub async fn acknowledge_as_old(&mut self) {
        self.send(json!({
            "type": "hello_ack", "presenceId": "P", "memberDisplayName": "Ann", "services": [],
        }))
        .await;
    }

    /// The next text frame.
    pub async fn receive(&mut self) -> Value {
        let next = async {
            loop {
                if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        };
        timeout(DEADLINE, next).await.expect("the client says something")
    }

    /// The next text frame; `None` once the client has left.
    pub async fn rest(&mut self) -> Option<Value> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Some(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => (),
                }
            }
        };
        timeout(DEADLINE, next).await.expect("the client leaves")
    }

    /// Expects `list_peers`, and answers that nobody is here.
    pub async fn answer_list(&mut self) {
        let asked = self.receive().await;
        assert_eq!(asked["type"], "list_peers", "{asked}");
        self.send(json!({"type": "peers_list", "peers": [], "_reqId": asked["_reqId"]})).await;
    }

    /// The ids of the next `count` messages that the client says it received.
    pub async fn received(&mut self, count: usize) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        while ids.len() < count {
            let frame = self.receive().await;
            assert_eq!(frame["type"], "received", "{frame}");
            ids.extend(serde_json::from_value::<Vec<String>>(frame["messageIds"].clone()).unwrap());
        }
        ids
    }

    pub async fn ack(&mut self, send: &Value) {
        assert_eq!(send["type"], "send", "{send}");
        let message = format!("m-{}", send["ciphertext"].as_str().unwrap());
        self.send(json!({"type": "ack", "id": send["id"], "messageId": message, "queued": true}))
            .await;
    }

    /// Pushes a multicast of `text` under `id`.
    pub async fn push(&mut self, id: &str, text: &str) {
        self.send(push(id, text)).await;
    }

    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
    }
}

/// Has the client ask twice, and returns what else it said until then.
///
/// What it was sent before is handled when the first answer came, and what it says to that is said
/// before it asks again.
pub async fn settled(client: &Client, peer: &mut Peer) -> Vec<Value> {
    let mut said = Vec::new();
    for _ in 0..2 {
        let answer = async {
            loop {
                let frame = peer.receive().await;
                if frame["type"] != "list_peers" {
                    said.push(frame);
                    continue;
                }
                let req_id = &frame["_reqId"];
                peer.send(json!({"type": "peers_list", "peers": [], "_reqId": req_id})).await;
                return;
            }
        };
        let (asked, ()) = tokio::join!(client.request(&ListPeers {}), answer);
        asked.unwrap();
    }
    said
}

/// A push frame of a multicast.
pub fn push(id: &str, text: &str) -> Value {
    json!({
        "type": "push", "messageId": id, "meshId": "mesh-1", "senderPubkey": "ab".repeat(32),
        "priority": "next", "nonce": "", "ciphertext": plain::encode(text),
        "createdAt": "2026-01-01T00:00:00.000Z", "targetSpec": "*",
    })
}

/// A client of ours that knows these edges.
pub fn config(edges: &[&Edge]) -> Config {
    let urls = edges.iter().map(|edge| edge.url.clone()).collect();
    Config::new(urls, "mesh-1", "member-1", Keypair::generate(), Keypair::generate())
}

/// A client that is attached to `edge`.
pub async fn attached(edge: &Edge, config: Config) -> (Client, Pushes, Peer) {
    let (client, pushes) = Client::start(config);
    let peer = edge.attached().await;
    client.ready(DEADLINE).await.unwrap();
    (client, pushes, peer)
}

/// The text of the next message.
pub async fn text(pushes: &mut Pushes) -> String {
    let message = timeout(DEADLINE, pushes.message()).await.expect("a message comes").unwrap();
    message.text.unwrap()
}

/// Waits for something else than a message.
pub async fn until(pushes: &mut Pushes, is_it: impl Fn(&Incoming) -> bool) -> Incoming {
    let next = async {
        loop {
            let incoming = pushes.next().await.expect("the client is not closed");
            if is_it(&incoming) {
                return incoming;
            }
        }
    };
    timeout(DEADLINE, next).await.expect("it happens")
}
