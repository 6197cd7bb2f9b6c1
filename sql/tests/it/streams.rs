//! Streams: one of a name, and those who listen now.

use skein_sql::streams;

use crate::place::Place;

#[tokio::test]
async fn a_name_is_one_stream_in_its_mesh_also_for_two_at_once() {
    let place = Place::new().await;
    let other = place.connect().await;
    let (mesh, foreign) = (place.mesh("m").await, place.mesh("n").await);

    let (one, two) = tokio::join!(
        streams::create(&place.db, mesh.0, "s", mesh.1, 10),
        streams::create(&other, mesh.0, "s", mesh.1, 10),
    );
    let third = streams::create(&place.db, foreign.0, "s", foreign.1, 10).await.unwrap();

    let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
    assert_eq!(one, two);
    assert_ne!(Some(one), third);
    assert_eq!(streams::list(&place.db, mesh.0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_mesh_that_is_full_has_no_more_and_knows_what_it_has() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let first = streams::create(&place.db, mesh.0, "a", mesh.1, 1).await.unwrap();

    assert!(first.is_some());
    assert_eq!(streams::create(&place.db, mesh.0, "b", mesh.1, 1).await.unwrap(), None);
    assert_eq!(streams::create(&place.db, mesh.0, "a", mesh.1, 1).await.unwrap(), first);
}

#[tokio::test]
async fn only_this_attachment_of_a_session_listens_and_it_is_swept_after() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let (mesh, foreign) = (place.mesh("m").await, place.mesh("n").await);
    let (ann, bob) = (place.session(mesh, "ann").await, place.session(mesh, "bob").await);
    place.attach(ann, node).await;
    place.attach(bob, node).await;
    streams::create(&place.db, mesh.0, "s", mesh.1, 10).await.unwrap();
    let count = async || streams::list(&place.db, mesh.0).await.unwrap()[0].subscriber_count;
    let nodes = async |mesh: (i64, i64), publisher: i64| {
        streams::audience(&place.db, mesh.0, "s", publisher, mesh.1).await.unwrap()
    };

    streams::subscribe(&place.db, mesh.0, "s", ann, 1).await.unwrap();
    streams::subscribe(&place.db, mesh.0, "s", ann, 1).await.unwrap();

    assert_eq!(count().await, 1);
    assert_eq!(nodes(mesh, bob).await, (Some("m".to_owned()), vec![node]));
    assert_eq!(nodes(mesh, ann).await.1, [] as [i32; 0], "not for its publisher alone");
    assert_eq!(nodes(foreign, bob).await, (Some("n".to_owned()), vec![]));
    assert_eq!(streams::sweep(&place.db).await.unwrap(), 0);
    streams::unsubscribe(&place.db, mesh.0, "s", ann, 2).await.unwrap();
    assert_eq!(count().await, 1, "another attachment's word");
    place.run("update presence set attach_no = 2 where session = $1", &[&ann]).await;
    assert_eq!((count().await, nodes(mesh, bob).await.1), (0, vec![]));
    assert_eq!(streams::sweep(&place.db).await.unwrap(), 1);
    streams::subscribe(&place.db, mesh.0, "s", ann, 2).await.unwrap();
    assert_eq!(count().await, 1);
    streams::unsubscribe(&place.db, mesh.0, "s", ann, 2).await.unwrap();
    assert_eq!(count().await, 0);
}
