//! The fence: a dead node does nothing any more, and only then is it fenced.

use skein_sql::{
    Connector, Error, Settings,
    fence::{self, Fence},
    nodes,
};

use crate::place::{Place, until};

async fn close(place: &Place, node: i32) -> Fence {
    fence::close(&place.db, node).await.unwrap()
}

#[tokio::test]
async fn a_node_that_beats_in_the_moment_of_its_death_lives() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    nodes::beat(&place.db, node).await.unwrap();

    assert!(!fence::mark_dead(&place.db, node, 0).await.unwrap());
    assert_eq!(place.state(node).await, "alive");
    assert!(fence::mark_dead(&place.db, node, 1).await.unwrap());
    assert_eq!(place.state(node).await, "dead");
}

#[tokio::test]
async fn a_node_is_fenced_only_when_no_backend_of_it_is_left() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let connection = place.connector.of_node(node).connect(Settings::Ordinary).await.unwrap();
    place.set_state(node, "dead").await;

    assert_eq!(close(&place, node).await, Fence::Ending(1));
    assert_eq!(place.state(node).await, "dead");
    until(async || close(&place, node).await == Fence::Closed).await;

    assert_eq!(place.state(node).await, "fenced");
    until(async || connection.is_closed()).await;
}

#[tokio::test]
async fn a_backend_is_found_by_its_pid_when_it_has_another_name() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let connection = place.connector.of_node(node).connect(Settings::Ordinary).await.unwrap();
    connection.batch_execute("set application_name = 'other'").await.unwrap();
    place.set_state(node, "dead").await;

    assert_eq!(close(&place, node).await, Fence::Ending(1));
}

#[tokio::test]
async fn a_backend_that_did_not_register_is_found_by_its_name() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let stray = place.connect().await;
    let name = format!("set application_name = '{}'", nodes::application_name(node));
    stray.batch_execute(&name).await.unwrap();
    place.set_state(node, "dead").await;

    assert_eq!(close(&place, node).await, Fence::Ending(1));
}

#[tokio::test]
async fn a_backend_that_has_a_dead_ones_pid_is_left_alone() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let stranger = place.connect().await;
    let pid: i32 = stranger.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let register = "update node set state = 'dead', pids = array[$2::integer],
                           starts = array[now() - interval '1 day'] where id = $1";
    place.run(register, &[&node, &pid]).await;

    assert_eq!(close(&place, node).await, Fence::Closed);
    assert!(!stranger.is_closed());
}

#[tokio::test]
async fn a_living_nodes_backends_are_left_alone() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let connection = place.connector.of_node(node).connect(Settings::Ordinary).await.unwrap();

    close(&place, node).await;

    assert_eq!(place.state(node).await, "alive");
    connection.batch_execute("select 1").await.unwrap();
}

#[tokio::test]
async fn a_node_of_the_same_number_in_another_database_is_left_alone() {
    let (place, other) = (Place::new().await, Place::new().await);
    let node = place.node("edge").await;
    assert_eq!(other.node("edge").await, node);
    let connection = other.connector.of_node(node).connect(Settings::Ordinary).await.unwrap();
    place.set_state(node, "dead").await;

    assert_eq!(close(&place, node).await, Fence::Closed);
    connection.batch_execute("select 1").await.unwrap();
}

#[tokio::test]
async fn a_dead_node_gets_no_new_connection() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    place.set_state(node, "dead").await;

    let refused = place.connector.of_node(node).connect(Settings::Ordinary).await;

    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
}

#[tokio::test]
async fn a_role_that_may_not_terminate_waits_until_the_backends_are_gone() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let connection = place.connector.of_node(node).connect(Settings::Ordinary).await.unwrap();
    let role = format!("plain_{}", place.database.name());
    let create = format!(
        "create role {role} login password 'plain'; grant all on all tables in schema public to \
         {role}"
    );
    place.db.batch_execute(&create).await.unwrap();
    let (_, server) =
        place.database.url().split_once('@').map(|(a, b)| (a.len(), b.to_owned())).unwrap();
    let plain = Connector::new(&format!("postgres://{role}:plain@{server}")).unwrap();
    let plain = plain.connect(Settings::Ordinary).await.unwrap();
    place.set_state(node, "dead").await;

    assert_eq!(fence::close(&plain, node).await.unwrap(), Fence::Waiting(1));
    assert_eq!(place.state(node).await, "dead");
    assert!(!fence::may_terminate(&plain, &place.db).await.unwrap());
    drop(connection);
    until(async || fence::close(&plain, node).await.unwrap() == Fence::Closed).await;

    drop(plain);
    let owned = format!("drop owned by {role}; drop role {role}");
    until(async || place.db.batch_execute(&owned).await.is_ok()).await;
}

#[tokio::test]
async fn a_role_may_terminate_its_own_backends() {
    let place = Place::new().await;
    let (first, second) = (place.connect().await, place.connect().await);

    assert!(fence::may_terminate(&first, &second).await.unwrap());
    until(async || second.is_closed()).await;
}
