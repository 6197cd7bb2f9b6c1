//! What a session missed is read before it is live; one that takes too long holds up no other.

use std::time::Duration;

use skein_crypto::Keypair;
use tokio::time::{sleep, timeout};

use crate::harness::{Member, OURS, Peer, SOON, TestMesh, hello_frame};

/// Whether who waits for the log's lock is a session's catch-up, and not what the node looks for.
const IS_CATCH_UP: &str = "
    select a.query like '%string_to_array(targets%'
      from pg_stat_activity a
     where a.datname = current_database() and a.wait_event_type = 'Lock'";
/// Ends it as the time limit of statements does.
const CANCEL: &str = "
    select pg_cancel_backend(a.pid)
      from pg_stat_activity a
     where a.datname = current_database() and a.wait_event_type = 'Lock'";

/// Says hello while nobody can read the log, and cancels the reading of what was missed; `None`: the
/// node looked at the log first.
async fn slow_hello(mesh: &TestMesh, member: &Member, session: &Keypair) -> Option<u64> {
    // Not the same connection: a transaction sees others as they were when it first looked.
    let (db, other) = (mesh.edges[0].edge.pool.get().await, mesh.edges[0].edge.pool.get().await);
    let (db, other) = (db.unwrap(), other.unwrap());
    db.batch_execute("begin; lock table message in access exclusive mode").await.unwrap();
    let mut peer = Peer::open(&mesh.edges[0], member, session.clone()).await;
    peer.send(&hello_frame(member, session, OURS)).await;
    let waits = async {
        loop {
            if let Some(row) = other.query_opt(IS_CATCH_UP, &[]).await.unwrap() {
                break row.get::<_, bool>(0);
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let is_catch_up = timeout(SOON, waits).await.expect("somebody reads the log");
    if is_catch_up {
        other.execute(CANCEL, &[]).await.unwrap();
        let code = peer.closed().await;
        db.batch_execute("commit").await.unwrap();
        return Some(code);
    }
    db.batch_execute("commit").await.unwrap();
    assert_eq!(peer.next().await["type"], "hello_ack");
    peer.close().await;
    None
}

#[tokio::test]
async fn a_session_whose_log_cannot_be_read_in_time_is_closed_and_holds_up_no_other() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;

    let slow = async {
        loop {
            if let Some(code) = slow_hello(&mesh, &member, &session).await {
                break code;
            }
        }
    };
    let code = timeout(3 * SOON, slow).await.expect("a hello meets no look at once");

    assert_eq!(code, 1013);
    // Nobody else noticed, and bob reads what he missed when he comes again.
    let mut cal = mesh.peer("cal", 0).await;
    ann.message(&cal.key(), "next", "to cal").await;
    ann.message("*", "next", "while bob is away").await;
    cal.find(|push| push["ciphertext"] == "to cal").await;
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;
    bob.find(|push| push["ciphertext"] == "while bob is away").await;
}
