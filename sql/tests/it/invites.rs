//! Invites: every use is taken once, in its own mesh, while the invite is good.

use jiff::{Timestamp, ToSpan};
use skein_openapi::{
    invites::{Invite, NewInvite},
    members::Grant,
};
use skein_sql::{invites, meshes::Mesh};

use crate::{meshes::mesh, place::Place};

async fn register(place: &Place, mesh: &Mesh, token: u8, uses: i32) -> Option<Invite> {
    let new = NewInvite {
        token_hash: String::new(),
        role: Grant::Member,
        uses,
        expires_at: String::new(),
    };
    let expires_at = Timestamp::now() + 1.hour();
    invites::register(&place.db, mesh.no, &new, &[token; 32], expires_at, "operator").await.unwrap()
}

#[tokio::test]
async fn an_invite_is_taken_as_often_as_it_says() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let invite = register(&place, &mesh, 1, 2).await.unwrap();

    let take = || invites::take(&place.db, mesh.no, &invite.id);
    let taken = [take().await.unwrap(), take().await.unwrap(), take().await.unwrap()];

    assert_eq!(taken, [true, true, false]);
    let invite = invites::find(&place.db, mesh.no, &invite.id).await.unwrap().unwrap();
    assert_eq!((invite.uses, invite.used), (2, 2));
}

#[tokio::test]
async fn of_many_who_come_at_once_one_takes_the_last_use() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let invite = register(&place, &mesh, 1, 1).await.unwrap();
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (db, mesh, id) = (place.connect().await, mesh.no, invite.id.clone());
        takers.spawn(async move { invites::take(&db, mesh, &id).await.unwrap() });
    }

    let taken = takers.join_all().await;

    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}

#[tokio::test]
async fn an_invite_of_another_mesh_is_neither_taken_nor_revoked_nor_listed() {
    let place = Place::new().await;
    let (first, _) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let invite = register(&place, &first, 1, 1).await.unwrap();

    assert!(!invites::take(&place.db, second.no, &invite.id).await.unwrap());
    assert!(!invites::revoke(&place.db, second.no, &invite.id).await.unwrap());
    assert_eq!(invites::find(&place.db, second.no, &invite.id).await.unwrap(), None);
    assert_eq!(invites::list(&place.db, second.no, None, 10).await.unwrap(), []);
    assert!(invites::take(&place.db, first.no, &invite.id).await.unwrap());
}

#[tokio::test]
async fn a_revoked_invite_is_not_taken_and_says_so() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let invite = register(&place, &mesh, 1, 1).await.unwrap();

    assert!(invites::revoke(&place.db, mesh.no, &invite.id).await.unwrap());

    assert!(!invites::take(&place.db, mesh.no, &invite.id).await.unwrap());
    let standing = invites::find_by_token(&place.db, &[1; 32]).await.unwrap().unwrap();
    assert!(standing.is_revoked && !standing.is_expired && standing.mesh == mesh.no);
    assert!(invites::revoke(&place.db, mesh.no, &invite.id).await.unwrap(), "again");
}

#[tokio::test]
async fn an_expired_invite_is_not_taken_and_says_so() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let invite = register(&place, &mesh, 1, 1).await.unwrap();
    place.run("update invite set expires_at = now()", &[]).await;

    assert!(!invites::take(&place.db, mesh.no, &invite.id).await.unwrap());
    assert!(invites::find_by_token(&place.db, &[1; 32]).await.unwrap().unwrap().is_expired);
    assert_eq!(invites::find_by_token(&place.db, &[2; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_is_registered_once() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    register(&place, &mesh, 1, 1).await.unwrap();

    assert_eq!(register(&place, &mesh, 1, 5).await, None);
}

#[tokio::test]
async fn what_revokes_invites_for_members_leaves_those_for_admins() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let invite = register(&place, &mesh, 1, 1).await.unwrap();
    place.run("update invite set role = 'admin'", &[]).await;

    assert!(!invites::revoke_plain(&place.db, mesh.no, &invite.id).await.unwrap());
    assert!(invites::revoke(&place.db, mesh.no, &invite.id).await.unwrap());
}

#[tokio::test]
async fn the_list_is_newest_first_and_goes_on_where_it_ended() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let mut ids = Vec::new();
    for token in 1..=3 {
        ids.insert(0, register(&place, &mesh, token, 1).await.unwrap().id);
    }

    let head = invites::list(&place.db, mesh.no, None, 2).await.unwrap();
    let rest = invites::list(&place.db, mesh.no, Some(&head[1].id), 2).await.unwrap();

    let found: Vec<_> = head.iter().chain(&rest).map(|invite| invite.id.clone()).collect();
    assert_eq!(found, ids);
}
