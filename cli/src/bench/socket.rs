//! One attached socket of a bench: connected, greeted, and otherwise in the hands of its task.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use skein_wire::encode;
use skein_wire::limit::FRAME_BYTES_MAX;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::deployment::Member;
use crate::time;

/// A socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long connecting may take, and then the hello: as long as our client waits.
const STEP_DEADLINE: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Ten thousand sockets have to fit beside what they measure.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// What a frame of an edge may have that matters here; nothing is copied out of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard<'a> {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Of an `ack` or `error`: which send.
    #[serde(default)]
    pub id: Option<&'a str>,
    /// Of a push.
    #[serde(default)]
    pub message_id: Option<&'a str>,
    /// Of a push: the key that sealed it, or `system`.
    #[serde(default)]
    pub sender_pubkey: &'a str,
    /// Of a push.
    #[serde(default)]
    pub nonce: &'a str,
    /// Of a push.
    #[serde(default)]
    pub ciphertext: &'a str,
}

/// Connects `member` to an edge and says hello. The error says what went wrong.
pub async fn attach(member: &Member, edge: &str) -> Result<Socket, String> {
    let late = |what| move |_| format!("no {what} within {} s", STEP_DEADLINE.as_secs());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let connecting = connect_async_with_config(edge, Some(config), true);
    let connected = timeout(STEP_DEADLINE, connecting).await.map_err(late("connection"))?;
    let (mut socket, _) = connected.map_err(|error| error.to_string())?;
    let greeted = timeout(STEP_DEADLINE, greet(member, &mut socket)).await;
    greeted.map_err(late("answer to hello"))?.map(|()| socket)
}

async fn greet(member: &Member, socket: &mut Socket) -> Result<(), String> {
    let words = |error: tokio_tungstenite::tungstenite::Error| error.to_string();
    let hello = encode(&member.hello(time::now_ms()), None);
    socket.send(Message::text(hello)).await.map_err(words)?;
    loop {
        let message = socket.next().await.ok_or("closed before the hello was answered")?;
        let text = match message.map_err(words)? {
            Message::Text(text) => text,
            Message::Close(frame) => return Err(format!("closed at hello: {frame:?}")),
            _ => continue,
        };
        match serde_json::from_str::<Heard<'_>>(&text) {
            Ok(heard) if heard.kind == "hello_ack" => return Ok(()),
            Ok(heard) if heard.kind == "error" => return Err(format!("refused: {text}")),
            _ => (),
        }
    }
}

/// Says goodbye, so that the departure counts at once.
pub async fn leave(mut socket: Socket) {
    let goodbye = async {
        // An edge that is gone needs no goodbye.
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_DEADLINE, goodbye).await;
}
