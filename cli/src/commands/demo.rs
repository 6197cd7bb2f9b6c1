//! `skein demo`: two people, two edges, sealed messages both ways, and what happens on the way.
//!
//! Everything is in a temporary folder and on this machine, and gone afterwards. A trace has one
//! line (with `--json`, one object) a hop; the last one is what was found when everything that the
//! servers wrote to disk was searched for the words.

mod search;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_crypto::direct::{Pairs, Sealed};
use skein_crypto::{Public, plain};
use skein_wire::Priority;
use skein_wire::hello::Caps;
use skein_wire::messaging::{Ack, MessageStatus, RecipientStatus};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use self::search::Found;
use super::invite::{self, Granted, Make};
use super::{Context, attach, join, up};
use crate::client::message::Message;
use crate::client::{Client, Pushes};
use crate::home::{Home, Lifetime, Membership, Session};
use crate::local::progress::Progress;
use crate::local::signals::Signals;
use crate::local::{Local, Options};
use crate::output::short;
use crate::{Error, Result};

/// How long a hop may take.
const HOP_WITHIN: Duration = Duration::from_secs(10);

/// Between two questions whether a message is settled.
const LOOK: Duration = Duration::from_millis(10);

/// What they say, and nobody else may read.
const WORDS: [&str; 2] = ["The harbour freezes on Thursday.", "Then we sail on Wednesday night."];

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One of the two.
struct Peer {
    name: &'static str,
    client: Client,
    pushes: Pushes,
    session: Session,
    seals: Pairs,
}

/// Runs `skein demo`.
pub async fn run(context: &Context, Args {}: Args) -> Result<()> {
    // Whoever runs PostgreSQL for root passes through, and cannot list it.
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("skein-demo-").permissions(fs::Permissions::from_mode(0o711));
    let folder = folder.tempdir()?;
    let data = folder.path().join("mesh");
    let options = Options { data, edges: 2, port: 0, database_url: None };
    let mut signals = Signals::listen()?;
    let mut local = Local::open(options, Progress::new()).await?;
    let shown = tokio::select! {
        shown = show(context, &mut local, &folder) => shown,
        () = signals.next() => Err(Error::Local("stopped before its end".into())),
    };
    local.stop().await;
    shown
}

async fn show(context: &Context, local: &mut Local, folder: &TempDir) -> Result<()> {
    let since = Instant::now();
    local.start().await?;
    let owner = home(context, folder, "owner")?;
    let mesh = up::first_mesh(&owner, local).await?;
    say(context, json!({"step": "up", "edges": local.sockets(), "ms": ms(since)}), || {
        format!("A mesh of two edges is up: {}", local.sockets().join(" and "))
    })?;

    let mut ann = peer(context, folder, &mesh, 0, "ann").await?;
    let mut ben = peer(context, folder, &mesh, 1, "ben").await?;
    let sealed = [
        exchange(context, &ann, &mut ben, WORDS[0]).await?,
        exchange(context, &ben, &mut ann, WORDS[1]).await?,
    ];
    ann.client.close().await;
    ben.client.close().await;
    searched(context, local, &sealed)
}

/// Joins with an invite of its own, and attaches to this edge.
async fn peer(
    context: &Context,
    folder: &TempDir,
    mesh: &Membership,
    edge: usize,
    name: &'static str,
) -> Result<Peer> {
    let mut inviter = mesh.clone();
    inviter.edges.rotate_left(edge);
    let once =
        Make { uses: 1, expires: Duration::from_secs(60), role: Granted::Member, legacy: false };
    let invite = invite::make(&inviter, &once).await?;
    let own = home(context, folder, name)?;
    let (membership, _) = join::join(&own, &invite.link, Some(name.into())).await?;
    let session = own.home.session(&membership.mesh_id, Lifetime::Long)?;
    let mut config = attach::config(&own, &membership, &session)?;
    config.caps = Caps { inbox: true, ..config.caps };
    let (client, pushes) = Client::connect(config, HOP_WITHIN).await?;
    let at = client.edge().unwrap_or_default();
    let key = session.keys.public.hex();
    say(context, json!({"step": "joined", "by": name, "edge": at, "key": key}), || {
        format!("{name} joins with an invite, and is at {at} under the key {}…", short(&key))
    })?;
    let seals = Pairs::new(&session.keys.secret);
    Ok(Peer { name, client, pushes, session, seals })
}

/// Sends `words` from one to the other, and shows every hop.
async fn exchange(context: &Context, from: &Peer, to: &mut Peer, words: &str) -> Result<Sealed> {
    let key: Public = to.session.keys.public;
    say(context, json!({"step": "writes", "by": from.name, "to": to.name, "text": words}), || {
        format!("\n{} writes to {}: “{words}”", from.name, to.name)
    })?;

    let sealed = from.seals.seal(&key, words)?;
    let Sealed { nonce, ciphertext } = &sealed;
    let step = json!({
        "step": "sealed", "by": from.name, "nonce": nonce, "ciphertext": ciphertext,
    });
    hop(context, step, || {
        let some = ciphertext.get(..24).unwrap_or(ciphertext);
        format!("by {} for {}'s key: nonce {nonce}, ciphertext {some}…", from.name, to.name)
    })?;

    let since = Instant::now();
    let sending =
        from.client.send_body(&key.hex(), Priority::Now, nonce.clone(), ciphertext.clone());
    let ack = sending.within(HOP_WITHIN).await?;
    stored(context, from, to, &ack, since)?;

    let arrived = timeout(HOP_WITHIN, arrival(to, &ack.message_id)).await;
    let message = arrived.map_err(|_| late("pushed"))??;
    let at = to.client.edge().unwrap_or_default();
    hop(context, json!({"step": "pushed", "edge": at, "ms": ms(since)}), || {
        format!("by {at} to {}, {} ms after it was sent", to.name, ms(since))
    })?;
    let text = message.text.filter(|text| text == words);
    let text = text.ok_or_else(|| Error::Local(format!("{} cannot read it", to.name)))?;
    hop(context, json!({"step": "opened", "by": to.name, "text": text}), || {
        format!("by {}: “{text}”", to.name)
    })?;
    hop(context, json!({"step": "received", "by": to.name}), || {
        format!("{} has it on disk and says so", to.name)
    })?;

    let settled = timeout(HOP_WITHIN, settled(from, &ack.message_id)).await;
    let recipient = settled.map_err(|_| late("settled"))??;
    let state = recipient.state.unwrap_or(recipient.status);
    let step = json!({"step": "settled", "by": from.name, "state": state, "ms": ms(since)});
    hop(context, step, || {
        format!("{} asks what became of it: {state} by {}", from.name, recipient.name)
    })?;
    Ok(sealed)
}

fn stored(context: &Context, from: &Peer, to: &Peer, ack: &Ack, since: Instant) -> Result<()> {
    let at = from.client.edge().unwrap_or_default();
    let step = json!({
        "step": "stored", "edge": at, "messageId": ack.message_id, "ms": ms(since),
    });
    hop(context, step, || {
        format!("by {at}, acknowledged as {} after {} ms", ack.message_id, ms(since))
    })?;
    let (recipients, online) = (ack.recipients.unwrap_or(0), ack.online.unwrap_or(0));
    let step = json!({"step": "told", "recipients": recipients, "online": online});
    hop(context, step, || match online {
        0 => format!("nobody: {} is away", to.name),
        _ => format!("the edge that {} is attached to ({online} of {recipients})", to.name),
    })
}

/// Waits for this message; others, if any, are read on the way.
async fn arrival(peer: &mut Peer, message_id: &str) -> Result<Message> {
    loop {
        match peer.pushes.message().await {
            Some(message) if message.message_id == message_id => return Ok(message),
            Some(_) => (),
            None => return Err(Error::NotConnected(format!("{} was closed", peer.name))),
        }
    }
}

/// Asks until the message is settled.
async fn settled(from: &Peer, message_id: &str) -> Result<RecipientStatus> {
    loop {
        let asked = MessageStatus { message_id: message_id.into() };
        let status = from.client.request(&asked).await?;
        match status.recipients.into_iter().next() {
            Some(recipient) if status.delivered => return Ok(recipient),
            _ => sleep(LOOK).await,
        }
    }
}

/// Looks for the words, and for their sealed form, in everything that the servers wrote.
fn searched(context: &Context, local: &Local, sealed: &[Sealed; 2]) -> Result<()> {
    let mut found = Found::default();
    let plain: Vec<String> =
        WORDS.iter().flat_map(|words| [(*words).to_owned(), plain::encode(words)]).collect();
    // PostgreSQL's part may be a link to a folder that its user can enter.
    for folder in [local.folder().postgres(), local.folder().path().join("log")] {
        found.search(&folder.canonicalize()?, &plain, sealed)?;
    }
    let Found { files, bytes, words, ciphertexts } = found;
    let step = json!({
        "step": "searched", "files": files, "bytes": bytes,
        "wordsFound": words, "ciphertextsFound": ciphertexts,
    });
    say(context, step, || {
        format!(
            "\nEverything that the servers wrote ({files} files, {} MB) was searched:\n  \
             the words were found {words} times, their sealed forms {ciphertexts} times.",
            bytes / 1_000_000
        )
    })?;
    match (words, ciphertexts) {
        (0, 1..) => Ok(()),
        (0, 0) => Err(Error::Local("the sealed forms were not found either".into())),
        _ => Err(Error::Local("the servers could read what was sent".into())),
    }
}

/// A home of somebody in the demo.
fn home(context: &Context, folder: &TempDir, name: &str) -> Result<Context> {
    Ok(Context { home: Home::at(&folder.path().join(name))?, out: context.out, mesh: None })
}

fn late(hop: &str) -> Error {
    Error::Local(format!("it was not {hop} within {} s", HOP_WITHIN.as_secs()))
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Shows one hop of a message.
fn hop(context: &Context, step: Value, words: impl FnOnce() -> String) -> Result<()> {
    let name = step["step"].as_str().unwrap_or_default().to_owned();
    say(context, step, || format!("  {}  {}", context.out.bold(&format!("{name:8}")), words()))
}

/// Shows one step.
fn say(context: &Context, step: Value, words: impl FnOnce() -> String) -> Result<()> {
    context.out.print(&step, |out: &mut dyn io::Write| writeln!(out, "{}", words()))
}
