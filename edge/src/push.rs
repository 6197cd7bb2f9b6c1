//! Pushing direct messages: as announced while that keeps the order, by pages otherwise.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use skein_sql::{Error, Pool, fail, serve};
use skein_wire::{Priority, push::Push, webhooks::shown};
use uuid::Uuid;

use crate::{
    log,
    note::Inline,
    session::{Out, Session, What},
    watches, webhooks,
};

/// Bodies read at once, in bytes: what a turn may take in memory.
const TURN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Pushes a row as it was announced. `false`: its session's page has to be read instead.
pub fn announced(session: &Session, seq: i64, recipient: i64, inline: &Inline) -> bool {
    let takes_everything = session.takes_everything();
    let mut window = session.window();
    if inline.p > 0 && !takes_everything {
        // It takes no place in the window, and the page is read when the status allows it.
        window.held = true;
        return true;
    }
    if window.has(seq) {
        return true;
    }
    if inline.p > 0 && window.held {
        // The status allows it now, and what was held goes first.
        return false;
    }
    if window.behind || window.room() == 0 || session.out.is_full() {
        window.behind = true;
        return true;
    }
    window.push(seq, What::Direct(recipient), inline.i.as_u128());
    let frame = frame(session, inline, None, None);
    session.out.send(Out::Push(frame, window.last()));
    true
}

/// The frame of a message; of a multicast, `target` is what it was sent to, for those of ours.
pub fn frame(
    session: &Session,
    inline: &Inline,
    subtype: Option<String>,
    target: Option<&str>,
) -> String {
    let mut push = Push {
        message_id: inline.i.simple().to_string(),
        mesh_id: session.mesh_id.to_string(),
        sender_pubkey: inline.k.clone(),
        priority: priority(inline.p),
        nonce: inline.n.clone(),
        ciphertext: inline.c.clone(),
        created_at: skein_sql::iso(inline.at()),
        target_spec: target.filter(|_| session.caps.ack).map(|target| shown(target).to_owned()),
        subtype,
        event: None,
        event_data: None,
    };
    watches::dress(&mut push);
    webhooks::dress(&mut push);
    skein_wire::encode(&push, None)
}

fn priority(number: i16) -> Priority {
    match number {
        0 => Priority::Now,
        1 => Priority::Next,
        _ => Priority::Low,
    }
}

/// The frame of a system event.
pub fn event(mesh_id: &str, name: &str, data: serde_json::Value) -> Push {
    Push {
        message_id: Uuid::new_v4().to_string(),
        mesh_id: mesh_id.to_owned(),
        sender_pubkey: skein_wire::push::SYSTEM.to_owned(),
        priority: Priority::Low,
        nonce: String::new(),
        ciphertext: String::new(),
        created_at: skein_sql::iso(jiff::Timestamp::now()),
        target_spec: None,
        subtype: Some("system".to_owned()),
        event: Some(name.to_owned()),
        event_data: Some(data),
    }
}

/// Reads the pages of these sessions and pushes what there is room for: the lowest unsettled rows
/// that this socket was not sent. Then what they skipped of the log. Returns how many were pushed.
pub async fn pages(
    pool: &Pool,
    sessions: &HashMap<i64, Arc<Session>>,
    dirty: &HashSet<i64>,
) -> Result<usize, Error> {
    fail::point("push.before").await;
    let asked: Vec<&Arc<Session>> = dirty.iter().filter_map(|m| sessions.get(m)).collect();
    if asked.is_empty() {
        return Ok(0);
    }
    let db = pool.get().await?;
    let asks: Vec<serve::Ask> = asked.iter().map(|s| ask(s)).collect();
    let heads = serve::pages(&db, &asks).await?;
    let mut by_session: HashMap<i64, Vec<serve::Head>> = HashMap::new();
    for head in heads {
        by_session.entry(head.session).or_default().push(head);
    }

    let mut n_pushed = 0;
    let mut turn = Turn::default();
    for (session, ask) in asked.iter().zip(&asks) {
        let heads = by_session.remove(&session.mailbox).unwrap_or_default();
        turn.add(session, choose(session, heads, ask));
        if turn.n_bytes >= TURN_BYTES_MAX {
            n_pushed += std::mem::take(&mut turn).push(&db).await?;
        }
    }
    n_pushed += turn.push(&db).await?;
    for session in asked {
        n_pushed += log::drain(&db, session).await?;
    }
    Ok(n_pushed)
}

/// Rows whose bodies are read together.
#[derive(Default)]
struct Turn<'a> {
    chosen: Vec<(&'a Session, Vec<serve::Head>)>,
    n_bytes: usize,
}

impl<'a> Turn<'a> {
    fn add(&mut self, session: &'a Session, heads: Vec<serve::Head>) {
        self.n_bytes += heads.iter().map(|h| usize::try_from(h.bytes).unwrap_or(0)).sum::<usize>();
        if !heads.is_empty() {
            self.chosen.push((session, heads));
        }
    }

    async fn push(self, db: &skein_sql::Db) -> Result<usize, Error> {
        let heads = self.chosen.iter().flat_map(|(_, heads)| heads);
        let wanted: Vec<_> = heads.map(|head| (head.seq, head.at)).collect();
        if wanted.is_empty() {
            return Ok(0);
        }
        let bodies: HashMap<i64, serve::Body> =
            serve::bodies(db, &wanted).await?.into_iter().map(|b| (b.seq, b)).collect();
        for (session, heads) in self.chosen {
            for head in heads {
                // A row without its body was settled, and its day dropped, between two statements.
                let Some(body) = bodies.get(&head.seq) else { continue };
                let mut window = session.window();
                if window.has(head.seq) {
                    continue;
                }
                let what = What::Direct(head.recipient);
                window.push(head.seq, what, body.message_id.as_u128());
                let frame = frame(session, &Inline::of(body), body.subtype.clone(), None);
                session.out.send(Out::Push(frame, window.last()));
            }
        }
        Ok(wanted.len())
    }
}

/// Asks for as many rows as there is room for, and for those that this socket was sent: they may
/// still be in the table, and are the lowest.
fn ask(session: &Session) -> serve::Ask {
    let window = session.window();
    serve::Ask {
        session: session.mailbox,
        member: session.caps.inbox.then_some(session.member),
        everything: session.takes_everything(),
        rows: i64::try_from(window.room() + window.remembered() + 1).unwrap_or(i64::MAX),
    }
}

/// What of a page is pushed, by room in the window and in the socket; the rest makes it behind.
fn choose(session: &Session, heads: Vec<serve::Head>, ask: &serve::Ask) -> Vec<serve::Head> {
    let mut window = session.window();
    window.held = !ask.everything;
    let full_page = i64::try_from(heads.len()).is_ok_and(|n| n >= ask.rows);
    let mut bytes = session.out.room();
    let mut room = window.room();
    let mut cut = full_page;
    let mut takes = Vec::new();
    for head in heads {
        if window.has(head.seq) {
            continue;
        }
        let n_bytes = usize::try_from(head.bytes).unwrap_or(0);
        // At least one, however large, when nothing else is on its way.
        let fits = n_bytes <= bytes || (takes.is_empty() && !session.out.is_full());
        if room == 0 || !fits {
            cut = true;
            break;
        }
        room -= 1;
        bytes = bytes.saturating_sub(n_bytes);
        takes.push(head);
    }
    window.behind = cut;
    takes
}
