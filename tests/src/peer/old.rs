//! A stand-in for the old client, 0.8.9: no caps, ids that count from 1, nothing repeated.
//!
//! It answers pings by itself, comes back after 1, 2, 4 tenths of a second (the old one: seconds)
//! with the same session key, sends later what it was given while away, and forgets those that were not
//! acknowledged when a socket was lost. A load balancer in front of it would give it any edge, and
//! so does this one.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use skein_crypto::{Public, direct::Pairs, hello, plain};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::Identity;
use crate::record::{Class, End, Record, SentNo, To, text};

/// Sends that may wait for their acknowledgement.
const WINDOW: usize = 32;
/// The first pause before coming back; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long an edge may take to answer a hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// See [`Kind::Old`](super::Kind::Old).
#[derive(Debug)]
pub struct Old {
    commands: mpsc::UnboundedSender<Command>,
    window: Arc<Semaphore>,
    record: Arc<Record>,
    index: usize,
    number: AtomicU64,
    running: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Send(Send),
    Move(String),
}

#[derive(Debug)]
struct Send {
    to: To,
    class: Class,
    number: u64,
    sent: SentNo,
    /// Given back when the send has ended.
    _permit: OwnedSemaphorePermit,
}

impl Old {
    /// Starts the peer.
    pub fn start(identity: Identity, keys: Arc<Vec<Public>>, record: Arc<Record>) -> Self {
        let (commands, commanded) = mpsc::unbounded_channel();
        let index = identity.index;
        let task = Task {
            pairs: Pairs::new(&identity.session.secret),
            member_pairs: Pairs::new(&identity.member.secret),
            identity,
            keys,
            record: record.clone(),
            commanded,
            unacked: HashMap::new(),
            id: 0,
            next_edge: None,
        };
        let window = Arc::new(Semaphore::new(WINDOW));
        let running = tokio::spawn(task.run());
        Self { commands, window, record, index, number: AtomicU64::new(1), running }
    }

    /// See [`Peer::send`](super::Peer::send).
    pub async fn send(&self, to: To, class: Class) {
        let permit = self.window.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let sent = self.record.sends(self.index, number, to, class);
        // The task ends with this handle.
        let _ =
            self.commands.send(Command::Send(Send { to, class, number, sent, _permit: permit }));
    }

    /// See [`Peer::move_to`](super::Peer::move_to).
    pub fn move_to(&self, edge: &str) {
        let _ = self.commands.send(Command::Move(edge.to_owned()));
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Task {
    identity: Identity,
    pairs: Pairs,
    member_pairs: Pairs,
    keys: Arc<Vec<Public>>,
    record: Arc<Record>,
    commanded: mpsc::UnboundedReceiver<Command>,
    unacked: HashMap<String, Send>,
    id: u64,
    next_edge: Option<String>,
}

impl Task {
    async fn run(mut self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let edge = self.next_edge.take().unwrap_or_else(|| {
                self.identity.edges.choose(&mut rand::rng()).expect("there is an edge").clone()
            });
            if let Ok(Some(socket)) = timeout(HELLO_PATIENCE, self.attach(&edge)).await {
                pause = PAUSE_FIRST;
                self.serve(socket).await;
                self.record.detached(self.identity.index);
                // What was written and not acknowledged is forgotten, as the old client does.
                for (_, send) in self.unacked.drain() {
                    self.record.ended(send.sent, End::Unknown);
                }
            }
            if self.next_edge.is_none() {
                sleep(pause).await;
                pause = PAUSE_MAX.min(pause * 2);
            }
        }
    }

    async fn attach(&mut self, edge: &str) -> Option<Socket> {
        let (mut socket, _) = tokio_tungstenite::connect_async(edge).await.ok()?;
        socket.send(Message::text(self.hello().to_string())).await.ok()?;
        loop {
            let frame = next(&mut socket).await?;
            match frame["type"].as_str() {
                Some("hello_ack") => {
                    self.record.attached(self.identity.index, edge);
                    return Some(socket);
                }
                // A push may come before it.
                Some("push") => self.push(&frame),
                _ => return None,
            }
        }
    }

    fn hello(&self) -> Value {
        let me = &self.identity;
        let now = Timestamp::now().as_millisecond();
        let signature = hello::sign(&me.member.secret, &me.mesh_id, &me.member_id, now);
        json!({
            "type": "hello", "meshId": me.mesh_id, "memberId": me.member_id,
            "pubkey": me.member.public.hex(), "sessionPubkey": me.session.public.hex(),
            "displayName": me.name, "sessionId": me.name, "pid": 1, "cwd": "/w",
            "hostname": "h", "peerType": "ai", "channel": "claude-code",
            "timestamp": now, "signature": signature.hex(),
        })
    }

    /// Serves a socket until it is lost, or until the peer is to move.
    async fn serve(&mut self, mut socket: Socket) {
        loop {
            tokio::select! {
                frame = next(&mut socket) => match frame {
                    Some(frame) => self.frame_came(&frame),
                    None => return,
                },
                command = self.commanded.recv() => match command {
                    Some(Command::Send(send)) => {
                        let frame = self.frame(send);
                        if socket.send(frame).await.is_err() {
                            return;
                        }
                    }
                    Some(Command::Move(edge)) => {
                        self.next_edge = Some(edge);
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    fn frame(&mut self, send: Send) -> Message {
        self.id += 1;
        let id = format!("c{}", self.id);
        let text = text(self.identity.index, send.number);
        let (target, nonce, ciphertext) = match send.to {
            To::Peer(peer) => {
                let sealed = self.pairs.seal(&self.keys[peer], &text);
                let sealed = sealed.expect("keys that were generated are usable");
                (self.keys[peer].hex(), sealed.nonce, sealed.ciphertext)
            }
            To::All => ("*".to_owned(), String::new(), plain::encode(&text)),
        };
        let frame = json!({
            "type": "send", "id": id, "targetSpec": target,
            "priority": send.class.priority().as_str(), "nonce": nonce, "ciphertext": ciphertext,
        });
        self.unacked.insert(id, send);
        Message::text(frame.to_string())
    }

    fn frame_came(&mut self, frame: &Value) {
        let of = |frame: &Value, field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("push") => self.push(frame),
            Some("ack") => {
                if let Some(send) = self.unacked.remove(&of(frame, "id")) {
                    let acked = End::Acked(of(frame, "messageId"), Instant::now());
                    self.record.ended(send.sent, acked);
                }
            }
            Some("error") => {
                if let Some(send) = self.unacked.remove(&of(frame, "id")) {
                    self.record.ended(send.sent, End::Refused(of(frame, "code")));
                }
            }
            _ => (),
        }
    }

    fn push(&self, frame: &Value) {
        let field = |name: &str| frame[name].as_str().unwrap_or_default();
        if field("subtype") == "system" {
            return;
        }
        let (nonce, ciphertext) = (field("nonce"), field("ciphertext"));
        let text = if nonce.is_empty() {
            plain::decode(ciphertext)
        } else {
            Public::parse(field("senderPubkey")).and_then(|from| {
                let open = |pairs: &Pairs| pairs.open(&from, nonce, ciphertext);
                open(&self.pairs).or_else(|_| open(&self.member_pairs))
            })
        };
        self.record.shows(self.identity.index, text.ok().as_deref(), field("messageId"));
    }
}

/// The next frame; none when the socket is gone.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            // Reading answers pings.
            _ => (),
        }
    }
}
