//! The relay's rows: found sockets, frames that one node keeps and another takes, nodes that ended.

use std::time::Duration;

use skein_sql::{Connector, Settings, nodes, relay};

use crate::place::{Place, until};

async fn key_of(place: &Place, session: i64) -> String {
    place.row("select key from session where mailbox = $1", &[&session]).await.get(0)
}

#[tokio::test]
async fn a_socket_is_found_by_its_key_first_and_then_by_its_member_s() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let mesh = place.mesh("m").await;
    let (first, second) = (place.session(mesh, "a").await, place.session(mesh, "b").await);
    place.attach(first, node).await;
    place.attach(second, node).await;
    let second_key = key_of(&place, second).await;
    let member_key = "0".repeat(64);

    let by_key = relay::find(&place.db, mesh.0, &second_key).await.unwrap().unwrap();
    let by_member = relay::find(&place.db, mesh.0, &member_key).await.unwrap().unwrap();

    assert_eq!((by_key.session, by_key.node, by_key.key), (second, node, second_key));
    assert_eq!(by_member.session, first, "the one that was attached first");
}

#[tokio::test]
async fn nobody_is_found_who_is_away_revoked_or_in_another_mesh() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let (mesh, other) = (place.mesh("m").await, place.mesh("other").await);
    let session = place.session(mesh, "a").await;
    let (key, member_key) = (key_of(&place, session).await, "0".repeat(64));
    let find = async |mesh: i64, key: &str| relay::find(&place.db, mesh, key).await.unwrap();

    assert_eq!(find(mesh.0, &key).await, None, "away");
    place.attach(session, node).await;
    assert!(find(mesh.0, &key).await.is_some());
    assert_eq!(find(other.0, &key).await, None);
    assert_eq!(find(other.0, &member_key).await, None);
    place.run("update member set revoked_at = now() where mailbox = $1", &[&mesh.1]).await;
    assert_eq!(find(mesh.0, &member_key).await, None, "revoked");
}

#[tokio::test]
async fn a_frame_is_taken_once_and_by_its_own_node() {
    let place = Place::new().await;
    let (mesh, a, b) = (place.mesh("m").await, place.node("edge").await, place.node("edge").await);

    let mut kept = relay::keep(&place.db, mesh.0, &[a, b], "frame").await.unwrap();
    kept.sort_unstable();
    let ids: Vec<i64> = kept.iter().map(|(_, id)| *id).collect();

    assert_eq!(kept.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [a, b]);
    let taken = relay::take(&place.db, a, &ids).await.unwrap();
    assert_eq!(taken, [(ids[0], "frame".to_owned())]);
    assert_eq!(relay::take(&place.db, a, &ids).await.unwrap(), []);
    assert_eq!(relay::take(&place.db, b, &ids).await.unwrap(), [(ids[1], "frame".to_owned())]);
}

#[tokio::test]
async fn frames_that_nobody_took_are_swept_in_their_time() {
    let place = Place::new().await;
    let (mesh, node) = (place.mesh("m").await, place.node("edge").await);
    for _ in 0..250 {
        relay::keep(&place.db, mesh.0, &[node], "old").await.unwrap();
    }
    place.run("update relay_frame set until = now() - interval '1 s'", &[]).await;
    let young = relay::keep(&place.db, mesh.0, &[node], "young").await.unwrap();

    assert_eq!(relay::sweep(&place.db, Duration::from_secs(9)).await.unwrap(), 250);

    assert_eq!(relay::take(&place.db, node, &[young[0].1]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused() {
    let place = Place::new().await;
    let (mesh, node) = (place.mesh("m").await, place.node("edge").await);
    let max = skein_wire::limit::FRAME_BYTES_MAX;

    relay::keep(&place.db, mesh.0, &[node], &"x".repeat(max)).await.unwrap();
    assert!(relay::keep(&place.db, mesh.0, &[node], &"x".repeat(max + 1)).await.is_err());
}

#[tokio::test]
async fn a_node_is_gone_by_its_row_or_when_no_connection_of_it_is_left() {
    let place = Place::new().await;
    let (live, dead, killed) =
        (place.node("edge").await, place.node("edge").await, place.node("edge").await);
    let connector = Connector::new(&place.database.url()).unwrap();
    let mut connections = Vec::new();
    for node in [live, dead, killed] {
        connections.push(connector.of_node(node).connect(Settings::Ordinary).await.unwrap());
    }
    let gone = async || {
        let mut gone = relay::gone(&place.db, &[live, dead, killed, 9999]).await.unwrap();
        gone.sort_unstable();
        gone
    };
    assert_eq!(gone().await, [9999], "nobody ever knew it");

    nodes::retire(&place.db, dead).await.unwrap();
    drop(connections.pop());

    until(async || gone().await == [dead, killed, 9999]).await;
    nodes::drain(&place.db, live).await.unwrap();
    assert_eq!(gone().await, [dead, killed, 9999], "one that drains still answers");
}
