//! Peer files: questions and answers of peers about files, passed on between their sockets.
//!
//! Nothing is decided here about files: who shares what is said by the peer that is asked. Its edge
//! takes an answer from nobody else, and matches it by who asked and by the `_reqId`, both of which
//! the peer repeats.

use skein_sql::relay::{self as sockets, Located};
use skein_wire::{
    Code, Refusal, limit,
    peer_files::{
        PeerDirRequest, PeerDirRequestForward, PeerDirResponse, PeerDirResponseForward,
        PeerFileRequest, PeerFileRequestForward, PeerFileResponse, PeerFileResponseForward,
        Request,
    },
};

use super::{Context, Error, Result, within};
use crate::relay::Call;

/// Serves one message about peer files.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::PeerFileRequest(call) => ask_file(ctx, call).await?,
        Request::PeerFileResponse(answer) => give_file(ctx, answer).await,
        Request::PeerDirRequest(call) => ask_dir(ctx, call).await?,
        Request::PeerDirResponse(answer) => give_dir(ctx, answer).await,
    }
    // What is asked is answered later, and an answer has no answer.
    Ok(None)
}

async fn ask_file(ctx: &Context<'_>, call: PeerFileRequest) -> Result<()> {
    let PeerFileRequest { target_pubkey, file_path } = call;
    within("filePath", file_path.len(), limit::PATH_BYTES_MAX)?;
    let to = find(ctx, &target_pubkey).await?;
    let requester_pubkey = ctx.session.key.clone();
    let key = key("file", &requester_pubkey, ctx.req_id);
    let asks = PeerFileRequestForward { requester_pubkey, file_path: file_path.clone() };
    ask(ctx, &to, key, skein_wire::encode(&asks, ctx.req_id), move |error| {
        PeerFileResponseForward { file_path, content: None, error: Some(error) }
    })
    .await;
    Ok(())
}

async fn ask_dir(ctx: &Context<'_>, call: PeerDirRequest) -> Result<()> {
    let PeerDirRequest { target_pubkey, dir_path, pattern } = call;
    within("dirPath", dir_path.len(), limit::PATH_BYTES_MAX)?;
    let n_bytes = pattern.as_ref().map_or(0, String::len);
    within("pattern", n_bytes, limit::PEER_PATTERN_BYTES_MAX)?;
    let to = find(ctx, &target_pubkey).await?;
    let requester_pubkey = ctx.session.key.clone();
    let key = key("dir", &requester_pubkey, ctx.req_id);
    let asks = PeerDirRequestForward { requester_pubkey, dir_path: dir_path.clone(), pattern };
    ask(ctx, &to, key, skein_wire::encode(&asks, ctx.req_id), move |error| {
        PeerDirResponseForward { dir_path, entries: None, error: Some(error) }
    })
    .await;
    Ok(())
}

/// Asks; a failure is an `error` for peers that match it by `_reqId`, and for the others the answer
/// that they wait for, with the reason in it: a stray `error` they would take for another's.
async fn ask<F: serde::Serialize>(
    ctx: &Context<'_>,
    to: &Located,
    key: String,
    frame: String,
    failure: impl FnOnce(String) -> F + Send + 'static,
) {
    let req_id = ctx.req_id.map(str::to_owned);
    let replies = ctx.session.caps.replies;
    let call = Call {
        caller: ctx.session,
        to,
        key,
        req_id: req_id.clone(),
        frame,
        patience: limit::PEER_FILE_PATIENCE,
    };
    let fail = move |code: Code| {
        if replies {
            return skein_wire::encode(&Refusal::new(code), req_id.as_deref());
        }
        let error = format!("{}: {}", code.as_str(), code.message());
        skein_wire::encode(&failure(error), req_id.as_deref())
    };
    ctx.node.relay.call(call, fail).await;
}

async fn find(ctx: &Context<'_>, key: &str) -> Result<Located> {
    let found = sockets::find(&ctx.db().await?, ctx.session.mesh, key).await?;
    found.ok_or_else(|| Error::from(Code::PeerNotFound))
}

async fn give_file(ctx: &Context<'_>, answer: PeerFileResponse) {
    let PeerFileResponse { requester_pubkey, file_path, content, error } = answer;
    let key = key("file", &requester_pubkey, ctx.req_id);
    let forward = PeerFileResponseForward { file_path, content, error };
    let frame = |req_id: Option<&str>| skein_wire::encode(&forward, req_id);
    ctx.node.relay.answer(ctx.session, &key, frame).await;
}

async fn give_dir(ctx: &Context<'_>, answer: PeerDirResponse) {
    let PeerDirResponse { requester_pubkey, dir_path, entries, error } = answer;
    let key = key("dir", &requester_pubkey, ctx.req_id);
    let forward = PeerDirResponseForward { dir_path, entries, error };
    let frame = |req_id: Option<&str>| skein_wire::encode(&forward, req_id);
    ctx.node.relay.answer(ctx.session, &key, frame).await;
}

/// What an answer is matched by. A key holds no colon, and a `_reqId` that is absent no `=`.
fn key(kind: &str, requester: &str, req_id: Option<&str>) -> String {
    match req_id {
        Some(req_id) => format!("{kind}:{requester}:={req_id}"),
        None => format!("{kind}:{requester}:"),
    }
}
