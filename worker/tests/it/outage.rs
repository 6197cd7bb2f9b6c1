//! A database that is away kills nobody.

use std::time::Duration;

use skein_embedded::{Options, Server};

use crate::place::{Heart, Place, QUICK, until};

#[tokio::test]
async fn a_database_that_was_away_longer_than_a_death_takes_leaves_every_node_alive() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let url = server.create_database("outage").await.unwrap();
    let place = Place::at(&url).await;
    let node = place.node("edge").await;
    let _heart = Heart::start(&place.connector, node);
    let (first, second) = (place.worker(), place.worker());
    let before = place.shared(&[32, 32]).await;

    server.kill().await;
    tokio::time::sleep(QUICK.still_max * 2).await;
    server.resume().await.unwrap();

    let place = Place::at(&url).await;
    let after = place.shared(&[32, 32]).await;
    assert_eq!(before, after);
    let beat = "select beat from node where id = $1";
    let seen: i64 = place.row(beat, &[&node]).await.get(0);
    until(async || place.row(beat, &[&node]).await.get::<_, i64>(0) > seen + 3).await;
    // Long enough for a count that was not started again to have run out.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let dead = "select count(*) from node where state <> 'alive'";
    assert_eq!(place.row(dead, &[]).await.get::<_, i64>(0), 0);
    first.stop().await;
    second.stop().await;
    server.stop().await.unwrap();
}
