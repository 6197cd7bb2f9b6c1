//! Webhooks: a name is one webhook's in its mesh, and free again; a signed post is taken once.

use skein_sql::{
    meshes::Mesh,
    webhooks::{self, Created, New, Taken, Webhook},
};

use crate::{meshes::mesh, place::Place};

async fn create(place: &Place, mesh: &Mesh, name: &str, token: u8) -> Created {
    let member: i64 = place
        .db
        .query_one("select mailbox from member where mesh = $1", &[&mesh.no])
        .await
        .unwrap()
        .get("mailbox");
    let new = New {
        id: &webhooks::id(),
        name,
        token_hash: &[token; 32],
        sealed: "sealed",
        signed: false,
        target: None,
        created_by: member,
    };
    webhooks::create(&place.db, mesh.no, new).await.unwrap()
}

fn made(created: Created) -> Webhook {
    match created {
        Created::Made(webhook) => webhook,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_taken_until_its_webhook_has_ended_and_only_in_its_mesh() {
    let place = Place::new().await;
    let (first, _) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;

    made(create(&place, &first, "ci", 1).await);
    assert_eq!(create(&place, &first, "ci", 2).await, Created::Taken);
    made(create(&place, &second, "ci", 3).await);
    assert!(webhooks::delete(&place.db, first.no, "ci").await.unwrap());
    assert!(!webhooks::delete(&place.db, first.no, "ci").await.unwrap(), "again");
    made(create(&place, &first, "ci", 4).await);

    assert_eq!(webhooks::list(&place.db, first.no).await.unwrap().len(), 1);
    assert!(webhooks::read(&place.db, second.no, "ci").await.unwrap().is_some());
}

#[tokio::test]
async fn an_address_is_of_its_mesh() {
    let place = Place::new().await;
    let (first, _) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let webhook = made(create(&place, &first, "ci", 1).await);

    let find = |id: String, token: u8| {
        let place = &place;
        async move { webhooks::find(&place.db, &id, &[token; 32]).await.unwrap() }
    };
    assert_eq!(find(first.id.clone(), 1).await, Some((first.no, webhook)));
    assert_eq!(find(second.id.clone(), 1).await, None);
    assert_eq!(find(first.id.clone(), 2).await, None);
    place.run("update mesh set archived_at = now()", &[]).await;
    assert_eq!(find(first.id.clone(), 1).await, None, "the mesh is no more");
}

#[tokio::test]
async fn a_post_is_taken_once_and_forgotten_after_a_day() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let webhook = made(create(&place, &mesh, "ci", 1).await);
    let other = place.connect().await;

    let take = |db| webhooks::take(db, mesh.no, &webhook.id, &[7; 32]);
    assert_eq!(take(&place.db).await.unwrap(), Taken::Now);
    assert_eq!(take(&other).await.unwrap(), Taken::Before);
    assert_eq!(webhooks::sweep(&place.db).await.unwrap(), 0);
    place.run("update webhook_seen set at = now() - interval '25 hours'", &[]).await;
    assert_eq!(webhooks::sweep(&place.db).await.unwrap(), 1);
    assert_eq!(take(&other).await.unwrap(), Taken::Now);
}
