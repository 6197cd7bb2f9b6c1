//! Requests over HTTP, byte by byte, so that a test decides what goes over the wire.

use jiff::Timestamp;
use serde_json::Value;
use skein_crypto::{Secret, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::SOON;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The status and, of an error of ours, the code.
    pub fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert!(!body["message"].as_str().unwrap_or_default().is_empty(), "{self:?}");
        (self.status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum As<'a> {
    Nobody,
    Operator,
    Bearer(&'a str),
    Key(&'a Secret),
}

/// Sends a request with these headers besides the needed ones.
pub async fn send(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = timeout(SOON, exchange(port, &text)).await.expect("an answer comes in time");
    read(&answer)
}

/// Asks as somebody; a body is JSON.
pub async fn ask(port: u16, who: As<'_>, method: &str, target: &str, body: &str) -> Answer {
    let mut headers = credentials(who, method, target, body, 0);
    headers.push(("Content-Type", "application/json".to_owned()));
    send(port, method, target, &headers, body).await
}

/// The headers by which somebody asks, `age_ms` ago.
pub fn credentials(
    who: As<'_>,
    method: &str,
    target: &str,
    body: &str,
    age_ms: i64,
) -> Vec<(&'static str, String)> {
    match who {
        As::Nobody => Vec::new(),
        As::Operator => vec![("Authorization", "Bearer operator".to_owned())],
        As::Bearer(secret) => vec![("Authorization", format!("Bearer {secret}"))],
        As::Key(secret) => {
            let now = Timestamp::now().as_millisecond() - age_ms;
            request::sign(secret, method, target, body.as_bytes(), now).headers().into()
        }
    }
}

async fn exchange(port: u16, text: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The edge may reset what it did not read to the end; what it said before counts.
    socket.read_to_end(&mut answer).await.ok();
    answer
}

fn read(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}
