//! `skein peer-file`: files that another peer shares, read through the mesh.
//!
//! What the peer shares is its own choice (`skein mcp --share-files`). Commands share nothing.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;
use skein_wire::peer_files::{PeerDirRequest, PeerFileRequest};

use super::{Context, attach, send};
use crate::output::harmless;
use crate::{Error, Result};

/// The peer answers, not the server.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do with files of a peer.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read one, up to 1 MiB.
    Read {
        /// The peer's name or key.
        peer: String,
        /// The file, relative to what the peer shares.
        path: String,
        /// Where to write it, instead of standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List them: two folders deep, at most 500.
    List {
        /// The peer's name or key.
        peer: String,
        /// A folder, relative to what the peer shares.
        #[arg(default_value = ".", hide_default_value = true)]
        path: String,
        /// Only names with this in them; `*` and `?` stand for any.
        #[arg(long)]
        pattern: Option<String>,
    },
}

/// Runs `skein peer-file`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Read { peer, path, output } => read(context, &peer, path, output).await,
        Command::List { peer, path, pattern } => list(context, &peer, path, pattern).await,
    }
}

async fn read(
    context: &Context,
    peer: &str,
    file_path: String,
    output: Option<PathBuf>,
) -> Result<()> {
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let target_pubkey = send::resolve(&attached.client, &membership, peer).await?;
    let ask = PeerFileRequest { target_pubkey, file_path: file_path.clone() };
    let answer = attached.client.request_within(&ask, PATIENCE).await;
    attached.client.close().await;
    let answer = answer?;
    if let Some(why) = answer.error {
        return Err(refused(why));
    }
    let content = answer.content.unwrap_or_default();
    let bytes = STANDARD.decode(&content);
    let bytes = bytes.map_err(|_| Error::Unexpected("the file is no base64".into()))?;
    if let Some(output) = output {
        std::fs::write(&output, &bytes).map_err(Error::at(&output))?;
        let n_bytes = bytes.len();
        let shown = json!({"path": file_path, "bytes": n_bytes, "output": output});
        return context
            .out
            .print(&shown, |out| writeln!(out, "{n_bytes} bytes are in {}.", output.display()));
    }
    let shown = json!({"path": file_path, "bytes": bytes.len(), "content": content});
    // As it is: whoever asks for a file wants that file, also into a pipe.
    context.out.print(&shown, |out| out.write_all(&bytes))
}

async fn list(
    context: &Context,
    peer: &str,
    dir_path: String,
    pattern: Option<String>,
) -> Result<()> {
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let target_pubkey = send::resolve(&attached.client, &membership, peer).await?;
    let ask = PeerDirRequest { target_pubkey, dir_path, pattern };
    let answer = attached.client.request_within(&ask, PATIENCE).await;
    attached.client.close().await;
    let answer = answer?;
    if let Some(why) = answer.error {
        return Err(refused(why));
    }
    let entries = answer.entries.unwrap_or_default();
    context.out.print(&entries, |out| {
        if entries.is_empty() {
            return writeln!(out, "No files.");
        }
        entries.iter().try_for_each(|entry| writeln!(out, "{}", harmless(entry)))
    })
}

/// The peer said no, in its own words.
fn refused(message: String) -> Error {
    Error::Refused { code: "peer_refused".into(), message, hint: None }
}
