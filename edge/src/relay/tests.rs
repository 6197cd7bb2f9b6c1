//! Attachments that were replaced: they answer nothing any more, and get no answers.

use skein_wire::{Status, hello::Caps};

use super::*;
use crate::session::{Identity, Live, Out, Outbox};

const NODE: i32 = 1;

/// An attachment of a session, and what its socket is given.
fn session(mailbox: i64, attach_no: i64) -> (Arc<Session>, mpsc::UnboundedReceiver<Out>) {
    let (out, given) = Outbox::new();
    let identity = Identity {
        mailbox,
        attach_no,
        mesh: 1,
        mesh_id: "m".into(),
        member: 100 + mailbox,
        key: format!("{mailbox}"),
        presence_id: format!("{mailbox}-{attach_no}"),
        name: format!("{mailbox}"),
        caps: Caps { ack: true, replies: true, inbox: true },
    };
    let live = Live { status: Status::Idle, groups: Vec::new(), visible: true, status_changes: 0 };
    (Arc::new(Session::new(identity, live, 0, out)), given)
}

fn frames(given: &mut mpsc::UnboundedReceiver<Out>) -> Vec<String> {
    let frames = std::iter::from_fn(|| given.try_recv().ok());
    let text = |out| match out {
        Out::Frame(text) | Out::Push(text, _) => text,
    };
    frames.map(text).collect()
}

async fn ask(relay: &Relay, caller: &Arc<Session>, to: &Session) {
    let to = Located { session: to.mailbox, node: NODE, key: to.key.clone() };
    let (key, frame, patience) = ("k".to_owned(), "question".to_owned(), Duration::from_secs(9));
    let call = Call { caller, to: &to, key, req_id: None, frame, patience };
    relay.call(call, |code| code.as_str().to_owned()).await;
}

async fn answer(relay: &Relay, session: &Session, text: &str) -> bool {
    relay.answer(session, "k", |_| text.to_owned()).await
}

#[tokio::test]
async fn what_a_newer_attachment_is_asked_the_older_does_not_answer() {
    let (relay, _leaves) = Relay::new(NODE);
    let (ann, mut to_ann) = session(1, 1);
    let ((older, _), (newer, mut to_newer)) = (session(2, 1), session(2, 2));
    [&ann, &older, &newer].into_iter().for_each(|session| relay.enter(session));

    ask(&relay, &ann, &newer).await;
    assert_eq!(frames(&mut to_newer), ["question"]);

    assert!(!answer(&relay, &older, "of the older").await);
    assert_eq!(frames(&mut to_ann), [] as [&str; 0]);
    assert!(answer(&relay, &newer, "of the newer").await);
    assert_eq!(frames(&mut to_ann), ["of the newer"]);
}

#[tokio::test]
async fn what_an_older_attachment_asked_a_newer_is_not_told() {
    let (relay, _leaves) = Relay::new(NODE);
    let (bob, _to_bob) = session(2, 1);
    let ((older, _to_older), (newer, mut to_newer)) = (session(1, 1), session(1, 2));
    [&bob, &older, &newer].into_iter().for_each(|session| relay.enter(session));

    // Its last frame is handled when it was replaced already, and its socket takes no more.
    ask(&relay, &older, &bob).await;
    older.out.frame("x".repeat(limit::FRAME_BYTES_MAX));
    assert!(answer(&relay, &bob, "to the older").await);
    relay.turn(Instant::now());

    assert_eq!(frames(&mut to_newer), [] as [&str; 0]);
    assert_eq!(relay.inner().here.n_waiting_bytes(), 0);
}
