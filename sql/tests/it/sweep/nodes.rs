//! What a fenced node left behind.

use std::time::Duration;

use skein_sql::sweep::nodes::{self, Swept};

use crate::place::Place;

const GRACE: Duration = Duration::from_secs(20);

async fn sweep(place: &Place, node: i32) -> Swept {
    nodes::sweep(&place.db, node, GRACE).await.unwrap()
}

/// Where a message was told to: the node and the session it is offered to.
async fn told(place: &Place, seq: i64) -> (i32, Option<i64>) {
    let row = place.row("select node, offered from delivery where seq = $1", &[&seq]).await;
    (row.get(0), row.get(1))
}

async fn make_inbox(place: &Place, session: i64) {
    place.run("update presence set inbox = true where session = $1", &[&session]).await;
}

async fn offer(place: &Place, seq: i64, session: i64) {
    place.run("update delivery set offered = $2 where seq = $1", &[&seq, &session]).await;
}

#[tokio::test]
async fn a_fenced_nodes_sessions_depart_after_the_grace() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let session = place.session(mesh, "ann").await;
    place.attach(session, node).await;
    place.set_state(node, "fenced").await;

    let swept = sweep(&place, node).await;

    assert_eq!(swept, Swept { n_ended: 1, n_moved: 0, is_done: true });
    assert_eq!(place.state(node).await, "swept");
    let row = place
        .row(
            "select announced, extract(epoch from depart_at - now())::float8
               from session where mailbox = $1",
            &[&session],
        )
        .await;
    assert_eq!(row.get::<_, &str>(0), "here");
    assert!((15.0..=20.0).contains(&row.get::<_, f64>(1)), "{row:?}");
}

#[tokio::test]
async fn nothing_of_a_node_is_touched_before_it_is_fenced() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let session = place.session(mesh, "ann").await;
    place.attach(session, node).await;
    let seq = place.deliver(mesh, session, node).await;

    for state in ["alive", "draining", "dead"] {
        place.set_state(node, state).await;

        assert_eq!(sweep(&place, node).await, Swept::default(), "{state}");
    }
    assert_eq!(told(&place, seq).await, (node, None));
    assert_eq!(place.count("select count(*) from presence").await, 1);
}

#[tokio::test]
async fn rows_told_to_the_node_go_to_where_their_recipients_are_now() {
    let place = Place::new().await;
    let (dead, alive) = (place.node("edge").await, place.node("edge").await);
    let mesh = place.mesh("m").await;
    let (moved, away) = (place.session(mesh, "ann").await, place.session(mesh, "bob").await);
    place.attach(moved, alive).await;
    place.attach(away, dead).await;
    let (to_moved, to_away) =
        (place.deliver(mesh, moved, dead).await, place.deliver(mesh, away, dead).await);
    let xid = "select xid::text::bigint from delivery where seq = $1";
    let before: i64 = place.row(xid, &[&to_moved]).await.get(0);
    place.set_state(dead, "fenced").await;
    let mut listener = place.connector.listener().await.unwrap();
    listener.listen(alive).await.unwrap();

    let swept = sweep(&place, dead).await;

    assert_eq!(swept, Swept { n_ended: 1, n_moved: 2, is_done: true });
    assert_eq!(told(&place, to_moved).await, (alive, None));
    assert_eq!(told(&place, to_away).await, (0, None));
    assert!(place.row(xid, &[&to_moved]).await.get::<_, i64>(0) > before, "looks find it by xid");
    let heard = tokio::time::timeout(crate::place::SOON, listener.notifications.recv());
    assert_eq!(heard.await.unwrap().unwrap().payload, r#"{"k":"look"}"#);
}

#[tokio::test]
async fn mail_offered_to_a_session_of_the_node_goes_to_the_next_inbox() {
    let place = Place::new().await;
    let (dead, alive) = (place.node("edge").await, place.node("edge").await);
    let mesh = place.mesh("m").await;
    let (gone, other) = (place.session(mesh, "gone").await, place.session(mesh, "other").await);
    place.attach(gone, dead).await;
    place.attach(other, alive).await;
    make_inbox(&place, gone).await;
    make_inbox(&place, other).await;
    let told_here = place.deliver(mesh, mesh.1, dead).await;
    // Told elsewhere, and offered to the session all the same.
    let told_there = place.deliver(mesh, mesh.1, 0).await;
    offer(&place, told_here, gone).await;
    offer(&place, told_there, gone).await;
    place.set_state(dead, "fenced").await;

    let swept = sweep(&place, dead).await;

    assert!(swept.is_done);
    assert_eq!(told(&place, told_here).await, (alive, Some(other)));
    assert_eq!(told(&place, told_there).await, (alive, Some(other)));
}

#[tokio::test]
async fn an_offer_to_a_session_that_is_here_stands() {
    let place = Place::new().await;
    let (dead, alive) = (place.node("edge").await, place.node("edge").await);
    let mesh = place.mesh("m").await;
    let (older, newer) = (place.session(mesh, "older").await, place.session(mesh, "newer").await);
    for session in [older, newer] {
        place.attach(session, alive).await;
        make_inbox(&place, session).await;
    }
    // The newer one has moved here from the dead node, with what it was offered there.
    let seq = place.deliver(mesh, mesh.1, dead).await;
    offer(&place, seq, newer).await;
    place.set_state(dead, "fenced").await;

    sweep(&place, dead).await;

    assert_eq!(told(&place, seq).await, (alive, Some(newer)));
}

#[tokio::test]
async fn two_workers_may_sweep_a_node_at_once_and_again() {
    let place = Place::new().await;
    let (dead, alive) = (place.node("edge").await, place.node("edge").await);
    let mesh = place.mesh("m").await;
    for n in 0..600 {
        let session = place.session(mesh, &format!("s{n}")).await;
        place.attach(session, if n % 3 == 0 { alive } else { dead }).await;
    }
    let fill = "insert into delivery (seq, recipient, mesh, node, at, class, bytes, xid)
                select nextval('message_seq'), mailbox, mesh, $1, now(), 1, 1, pg_current_xact_id()
                  from session cross join generate_series(1, 20)";
    place.run(fill, &[&dead]).await;
    place.set_state(dead, "fenced").await;
    let (first, second) = (place.connect().await, place.connect().await);

    let (a, b) =
        tokio::join!(nodes::sweep(&first, dead, GRACE), nodes::sweep(&second, dead, GRACE));
    let again = sweep(&place, dead).await;

    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.n_ended + b.n_ended + again.n_ended, 400, "{a:?} {b:?} {again:?}");
    assert_eq!(a.n_moved + b.n_moved + again.n_moved, 12_000, "{a:?} {b:?} {again:?}");
    assert_eq!(place.state(dead).await, "swept");
    let there = "select count(*) from delivery d join presence p on p.session = d.recipient
                  where d.node = p.node";
    assert_eq!(place.count(there).await, 4_000);
    assert_eq!(sweep(&place, dead).await, Swept::default());
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_left_for_the_next_call() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let session = place.session(mesh, "ann").await;
    place.attach(session, node).await;
    place.set_state(node, "fenced").await;
    let mut holder = place.connect().await;
    let holding = holder.transaction().await.unwrap();
    // As a hello does, which is about to take the presence to another node.
    holding
        .execute("select from session where mailbox = $1 for update", &[&session])
        .await
        .unwrap();

    let held_up = sweep(&place, node).await;
    holding.commit().await.unwrap();
    let done = sweep(&place, node).await;

    assert_eq!(held_up, Swept::default());
    assert_eq!(done, Swept { n_ended: 1, n_moved: 0, is_done: true });
}

#[tokio::test]
async fn the_row_of_a_swept_node_goes_after_a_day_with_nothing_left_told_to_it() {
    let place = Place::new().await;
    let (old, young) = (place.node("edge").await, place.node("edge").await);
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    for node in [old, young] {
        place.set_state(node, "swept").await;
    }
    let age = "update node set dead_at = now() - interval '25 hours' where id = $1";
    place.run(age, &[&old]).await;
    let late = place.deliver(mesh, session, old).await;

    let n_forgotten = nodes::forget(&place.db, Duration::from_secs(86_400)).await.unwrap();

    assert_eq!((n_forgotten, told(&place, late).await), (1, (0, None)));
    assert_eq!(place.count("select count(*) from node").await, 1);
    assert_eq!(place.state(young).await, "swept");
}
