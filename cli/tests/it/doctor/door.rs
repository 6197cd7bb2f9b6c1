//! What stands before an edge: it passes HTTP on, and does to sockets what a test wants.

use futures_util::{SinkExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What becomes of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// It is passed on.
    Pass,
    /// The request for an upgrade is cut.
    CutUpgrade,
    /// The first frame is cut.
    CutHello,
    /// The hello is refused with this code.
    Refuse(&'static str),
    /// The hello is answered with a close of this code.
    Close(u16),
    /// The hello is accepted, and the first message is cut.
    CutMessage,
}

/// What stands before an edge; it goes with this value.
pub struct Door {
    /// The URL of the edge behind it.
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Door {
    /// Opens a door to the edge at `port`, whose answers are dated `ahead` of the truth.
    pub async fn open(port: u16, socket: Socket, ahead: SignedDuration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, port, socket, ahead));
            }
        });
        Self { url, accepting }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, port: u16, socket: Socket, ahead: SignedDuration) -> Option<()> {
    let mut begun = [0; 7];
    while client.peek(&mut begun).await.ok()? < begun.len() {
        tokio::task::yield_now().await;
    }
    let is_socket = begun == *b"GET /ws";
    match socket {
        _ if !is_socket => answer(client, port, ahead).await,
        Socket::Pass => {
            let mut client = client;
            let mut edge = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            copy_bidirectional(&mut client, &mut edge).await.ok().map(drop)
        }
        Socket::CutUpgrade => None,
        script => speak(client, script).await,
    }
}

/// Passes one request on, and its answer with another date.
async fn answer(mut client: TcpStream, port: u16, ahead: SignedDuration) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut edge = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    edge.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    edge.read_to_string(&mut answer).await.ok()?;
    let dated = answer.lines().map(|line| match line.starts_with("date: ") {
        true => format!("date: {}", date(Timestamp::now() + ahead)),
        false => line.to_owned(),
    });
    let answer = dated.collect::<Vec<_>>().join("\r\n");
    client.write_all(answer.as_bytes()).await.ok()
}

fn date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Says itself what the edge would.
async fn speak(client: TcpStream, script: Socket) -> Option<()> {
    let mut socket = accept_async(client).await.ok()?;
    if script == Socket::CutHello {
        return None;
    }
    let hello = socket.next().await?.ok()?;
    let hello: Value = serde_json::from_str(hello.to_text().ok()?).ok()?;
    assert_eq!(hello["type"], "hello");
    let said = match script {
        Socket::Refuse(code) => json!({"type": "error", "code": code, "message": "no"}),
        Socket::Close(code) => {
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            return socket.close(Some(frame)).await.ok();
        }
        _ => json!({
            "type": "hello_ack", "presenceId": "P", "memberDisplayName": "Ann", "services": [],
        }),
    };
    socket.send(Message::Text(said.to_string().into())).await.ok()?;
    // The next frame is its last; a refused one says nothing more.
    socket.next().await.map(drop)
}
