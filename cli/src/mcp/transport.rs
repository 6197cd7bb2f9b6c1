//! Standard input and output as MCP's transport, with what the library leaves to its user.
//!
//! - `server/discover` is answered with "no such method": a host that negotiates the newest
//!   protocol registers no channel, and this is the answer after which hosts fall back to
//!   `initialize`. Only hosts that name themselves and take no lines are let through to the newest.
//! - A message that may not come before the first request is dropped; the library would end.
//! - Whoever must know that an answer has been written leaves a receipt for it. It is dropped when
//!   the answer will never be written: the host took its question back, or is gone.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::{io, sync::Arc};

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, GetMeta,
    JsonRpcMessage, ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::channel::Channel;

/// The method that begins the newest protocol.
const DISCOVER: &str = "server/discover";

type Receipt = Box<dyn FnOnce() + Send>;

/// What is to be done when an answer has been written, for each question that is open.
#[derive(Default)]
pub struct Receipts(Mutex<HashMap<RequestId, Option<Receipt>>>);

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipts(..)")
    }
}

impl Receipts {
    /// Has `receipt` called once the answer to the request `id` is in the host's pipe. It is
    /// dropped uncalled when that answer is never written, at once if nobody waits for it any
    /// more.
    pub fn leave(&self, id: &RequestId, receipt: impl FnOnce() + Send + 'static) {
        if let Some(left) = self.all().get_mut(id) {
            *left = Some(Box::new(receipt));
        }
    }

    /// The host asks.
    fn open(&self, id: RequestId) {
        self.all().insert(id, None);
    }

    /// The answer is on its way, or will never be.
    fn close(&self, id: &RequestId) -> Option<Receipt> {
        self.all().remove(id).flatten()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Option<Receipt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transport.
pub struct Stdio<R: AsyncRead, W: AsyncWrite> {
    inner: AsyncRwTransport<RoleServer, R, W>,
    channel: Arc<Channel>,
    receipts: Arc<Receipts>,
    /// A request that opens a session, or needs none, was seen.
    has_begun: bool,
}

impl<R, W> Stdio<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// A transport over these two.
    pub fn new(read: R, write: W, channel: Arc<Channel>, receipts: Arc<Receipts>) -> Self {
        let inner = AsyncRwTransport::new_server(read, write);
        Self { inner, channel, receipts, has_begun: false }
    }
}

impl<R, W> Transport<RoleServer> for Stdio<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let receipt = match &message {
            JsonRpcMessage::Response(response) => self.receipts.close(&response.id),
            // What a receipt was left for is not what is written.
            JsonRpcMessage::Error(error) => {
                drop(error.id.as_ref().and_then(|id| self.receipts.close(id)));
                None
            }
            _ => None,
        };
        let sending = self.inner.send(message);
        async move {
            sending.await?;
            if let Some(receipt) = receipt {
                receipt();
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let message = self.inner.receive().await?;
            if let Some(id) = refused(&self.channel, &message) {
                let words = format!("method not found: {DISCOVER}");
                let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, words, None);
                let answer = ServerJsonRpcMessage::error(error, Some(id));
                // On a task of its own: `receive` may be dropped in the middle of a line.
                tokio::spawn(self.inner.send(answer));
                continue;
            }
            if !self.has_begun {
                let JsonRpcMessage::Request(request) = &message else {
                    debug!("a message before the first request is dropped");
                    continue;
                };
                self.has_begun = begins(&request.request);
            }
            match &message {
                JsonRpcMessage::Request(request) => self.receipts.open(request.id.clone()),
                // The library drops the answer of what is taken back.
                JsonRpcMessage::Notification(notification) => {
                    if let Some(id) = taken_back(&notification.notification) {
                        drop(self.receipts.close(id));
                    }
                }
                _ => (),
            }
            return Some(message);
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.inner.close().await
    }
}

/// The id of a request that a channel must not serve.
fn refused(channel: &Channel, message: &ClientJsonRpcMessage) -> Option<RequestId> {
    let JsonRpcMessage::Request(request) = message else { return None };
    let is_discover = match &request.request {
        ClientRequest::DiscoverRequest(_) => true,
        ClientRequest::CustomRequest(custom) => custom.method == DISCOVER,
        _ => false,
    };
    let host = request.request.get_meta().client_info();
    let takes_lines = host.is_none_or(|host| channel.takes_lines(&host.name));
    (is_discover && takes_lines).then(|| request.id.clone())
}

/// The id of the question that the host takes back.
fn taken_back(notification: &ClientNotification) -> Option<&RequestId> {
    match notification {
        ClientNotification::CancelledNotification(cancelled) => {
            cancelled.params.request_id.as_ref()
        }
        _ => None,
    }
}

/// Whether the library goes on to its main loop after this request.
fn begins(request: &ClientRequest) -> bool {
    let meta = request.get_meta();
    let is_known = |version: ProtocolVersion| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        _ => {
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(is_known)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, NumberOrString};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};

    use super::*;
    use crate::mcp::channel::MessageMode;

    fn channel() -> Arc<Channel> {
        Arc::new(Channel::new(MessageMode::Push, false))
    }

    #[tokio::test]
    async fn a_receipt_is_given_when_the_answer_is_in_the_pipe_and_not_before() {
        // The pipe holds less than the answer.
        let (ours, theirs) = duplex(64);
        let (read, write) = split(ours);
        let receipts = Arc::<Receipts>::default();
        let is_written = Arc::new(AtomicBool::new(false));
        let id = NumberOrString::Number(7);
        let noted = is_written.clone();
        receipts.open(id.clone());
        receipts.leave(&id, move || noted.store(true, Ordering::SeqCst));
        let mut transport = Stdio::new(read, write, channel(), receipts);
        let text = ContentBlock::text("x".repeat(1000));
        let result = CallToolResponse::from(CallToolResult::success(vec![text]));

        let sending =
            tokio::spawn(transport.send(ServerJsonRpcMessage::response(result.into(), id)));
        tokio::task::yield_now().await;
        assert!(!is_written.load(Ordering::SeqCst));
        let mut line = String::new();
        BufReader::new(theirs).read_line(&mut line).await.unwrap();

        sending.await.unwrap().unwrap();
        assert!(line.contains("xxx") && is_written.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_written_leaves_the_receipt_ungiven() {
        let (ours, theirs) = duplex(64);
        let (read, write) = split(ours);
        let receipts = Arc::<Receipts>::default();
        let id = NumberOrString::Number(7);
        receipts.open(id.clone());
        receipts.leave(&id, || panic!("nobody has the answer"));
        let mut transport = Stdio::new(read, write, channel(), receipts);
        drop(theirs);

        let result = CallToolResponse::from(CallToolResult::success(Vec::new()));
        let sent = transport.send(ServerJsonRpcMessage::response(result.into(), id)).await;

        assert!(sent.is_err());
    }

    #[tokio::test]
    async fn the_receipt_of_a_question_that_is_taken_back_is_dropped_whenever_it_is_left() {
        let (ours, mut theirs) = duplex(4096);
        let (read, write) = split(ours);
        let receipts = Arc::<Receipts>::default();
        let held = Arc::new(());
        let mut transport = Stdio::new(read, write, channel(), receipts.clone());
        let info = r#"{"name":"a","version":"1"}"#;
        let params = format!(
            r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{info}}}"#
        );
        let asks = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"initialize","params":{params}}}"#);
        let method = "notifications/cancelled";
        let back = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"requestId":7}}}}"#);
        theirs.write_all(format!("{asks}\n{back}\n").as_bytes()).await.unwrap();
        let leave = || {
            let held = held.clone();
            receipts.leave(&NumberOrString::Number(7), move || drop(held));
        };

        transport.receive().await.unwrap();
        leave();
        assert_eq!(Arc::strong_count(&held), 2, "it is kept while the question is open");
        transport.receive().await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        leave();

        assert_eq!(Arc::strong_count(&held), 1);
        assert!(receipts.all().is_empty());
    }
}
