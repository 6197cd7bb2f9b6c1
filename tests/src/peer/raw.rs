//! A socket that a test moves frame by frame, for the narrow places.
//!
//! Bodies are not sealed: what is tested is who gets which frame when.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use skein_crypto::{hello, plain, proof};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Bytes, Message},
};

use super::Identity;

/// How long anything that must come may take.
const SOON: Duration = Duration::from_secs(15);

/// What a raw peer says that it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caps {
    /// `ack` and `replies`: what it receives is settled when the test says so.
    Ours,
    /// None, as the old client: reading a frame settles it.
    Old,
}

/// A socket with its hello said.
#[derive(Debug)]
pub struct Raw {
    /// Who it is.
    pub identity: Identity,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames that came while another was waited for.
    kept: Vec<Value>,
}

impl Raw {
    /// Attaches to the first of its edges.
    ///
    /// # Panics
    /// When it is not taken in.
    pub async fn attach(identity: &Identity, caps: Caps) -> Self {
        Self::attach_to(&identity.edges[0], identity, caps).await
    }

    /// Attaches to this edge.
    ///
    /// # Panics
    /// When it is not taken in.
    pub async fn attach_to(edge: &str, identity: &Identity, caps: Caps) -> Self {
        let mut peer = Self::say_hello(edge, identity, caps).await;
        peer.find("the answer to a hello", |frame| frame["type"] == "hello_ack").await;
        peer
    }

    /// Says hello and does not wait for the answer.
    ///
    /// # Panics
    /// When there is no edge.
    pub async fn say_hello(edge: &str, identity: &Identity, caps: Caps) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(edge).await.expect("the edge is there");
        let mut peer = Self { identity: identity.clone(), socket, kept: Vec::new() };
        peer.send(&hello_frame(identity, caps)).await;
        peer
    }

    /// Its session's key: what others send to.
    pub fn key(&self) -> String {
        self.identity.session.public.hex()
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the socket is gone.
    pub async fn send(&mut self, frame: &Value) {
        let sent = self.socket.send(Message::text(frame.to_string())).await;
        sent.expect("the edge reads");
    }

    /// Sends a message without waiting for its `ack`.
    pub async fn say(&mut self, id: &str, to: &str, text: &str) {
        self.send(&json!({
            "type": "send", "id": id, "targetSpec": to, "priority": "next", "nonce": "",
            "ciphertext": plain::encode(text),
        }))
        .await;
    }

    /// Waits for the `ack` or `error` of a message, and returns its `messageId` or its `code`.
    pub async fn outcome(&mut self, id: &str) -> Result<String, String> {
        let is_it = |frame: &Value| {
            frame["id"] == id && (frame["type"] == "ack" || frame["type"] == "error")
        };
        let answer = self.find("the outcome of a send", is_it).await;
        let field = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        if answer["type"] == "ack" { Ok(field("messageId")) } else { Err(field("code")) }
    }

    /// Sends a message and waits for its `ack`; returns its `messageId`.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn tell(&mut self, id: &str, to: &str, text: &str) -> String {
        self.say(id, to, text).await;
        self.outcome(id).await.expect("the message is stored")
    }

    /// The next message: its text and its `messageId`.
    pub async fn message(&mut self) -> (String, String) {
        read(&self.find("a message", is_message).await)
    }

    /// The texts of the next `n` messages.
    pub async fn texts(&mut self, n: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..n {
            texts.push(self.message().await.0);
        }
        texts
    }

    /// The texts of the messages that come within this time.
    pub async fn texts_within(&mut self, time: Duration) -> Vec<String> {
        let (mine, others) = self.frames_within(time).await.into_iter().partition(is_message);
        self.kept = others;
        let mine: Vec<Value> = mine;
        mine.iter().map(|frame| read(frame).0).collect()
    }

    /// The system events that come within this time: name, and the key they are about.
    pub async fn events_within(&mut self, time: Duration) -> Vec<(String, String)> {
        let (events, others) = self.frames_within(time).await.into_iter().partition(is_event);
        self.kept = others;
        let events: Vec<Value> = events;
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events.iter().map(|e| (field(&e["event"]), field(&e["eventData"]["pubkey"]))).collect()
    }

    /// Says that these messages are in the inbox.
    pub async fn received(&mut self, ids: &[&str]) {
        self.send(&json!({"type": "received", "messageIds": ids})).await;
    }

    /// Waits until everything before this was handled.
    pub async fn sync(&mut self) {
        self.send(&json!({"type": "list_peers", "_reqId": "sync"})).await;
        self.find("a reply", |frame| frame["_reqId"] == "sync").await;
    }

    /// Waits until the edge has read everything before this, whatever became of it.
    ///
    /// # Panics
    /// When the socket is gone.
    pub async fn read_so_far(&mut self) {
        let payload = Bytes::from_static(b"so far");
        let sent = self.socket.send(Message::Ping(payload.clone())).await;
        sent.expect("the edge reads");
        let answered = timeout(SOON, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Pong(answer))) if answer == payload => return,
                    Some(Ok(Message::Text(text))) => {
                        self.kept.push(serde_json::from_str(&text).expect("an edge sends JSON"));
                    }
                    Some(Ok(_)) => (),
                    Some(Err(_)) | None => panic!("the socket is gone"),
                }
            }
        });
        answered.await.expect("an edge answers pings");
    }

    /// Whether the socket is open, as far as the edge says.
    pub async fn is_open(&mut self) -> bool {
        let frames = self.frames_within(Duration::from_millis(50)).await;
        self.kept = frames;
        !self.kept.iter().any(|frame| frame.get("closed").is_some())
    }

    async fn frames_within(&mut self, time: Duration) -> Vec<Value> {
        let until = Instant::now() + time;
        let mut frames = std::mem::take(&mut self.kept);
        while frames.last().is_none_or(|frame| frame.get("closed").is_none()) {
            match timeout_at(until, self.read()).await {
                Ok(frame) => frames.push(frame),
                Err(_) => break,
            }
        }
        frames
    }

    /// The next frame that `wanted` takes; the others are kept for later.
    ///
    /// # Panics
    /// When none comes, naming `what` was waited for.
    pub async fn find(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        let found = timeout(SOON, async {
            loop {
                let frame = self.read().await;
                if wanted(&frame) {
                    return frame;
                }
                assert!(frame.get("closed").is_none(), "{what} was waited for; instead: {frame}");
                self.kept.push(frame);
            }
        });
        match found.await {
            Ok(frame) => frame,
            Err(_) => panic!("{what} did not come; there came {:?}", self.kept),
        }
    }

    /// The next frame; the end of the socket is `{"closed": code}`.
    async fn read(&mut self) -> Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("an edge sends JSON");
                }
                Some(Ok(Message::Close(close))) => {
                    return json!({"closed": close.map_or(1005, |close| u16::from(close.code))});
                }
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return json!({"closed": 1006}),
            }
        }
    }
}

pub(super) fn hello_frame(who: &Identity, caps: Caps) -> Value {
    let now = Timestamp::now().as_millisecond();
    let signature = hello::sign(&who.member.secret, &who.mesh_id, &who.member_id, now);
    let mut frame = json!({
        "type": "hello", "meshId": who.mesh_id, "memberId": who.member_id,
        "pubkey": who.member.public.hex(), "sessionPubkey": who.session.public.hex(),
        "displayName": who.name, "sessionId": who.name, "pid": 1, "cwd": "/w",
        "timestamp": now, "signature": signature.hex(),
    });
    if caps == Caps::Ours {
        let session = &who.session.public;
        frame["caps"] = json!(["ack", "replies"]);
        frame["sessionProof"] = json!(proof::sign(&who.member.secret, &who.mesh_id, session, now));
    }
    frame
}

fn is_event(frame: &Value) -> bool {
    frame["type"] == "push" && frame["subtype"] == "system"
}

fn is_message(frame: &Value) -> bool {
    frame["type"] == "push" && frame["subtype"] != "system"
}

fn read(push: &Value) -> (String, String) {
    let field = |name: &str| push[name].as_str().unwrap_or_default();
    let text = plain::decode(field("ciphertext")).unwrap_or_default();
    (text, field("messageId").to_owned())
}
