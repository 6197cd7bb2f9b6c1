//! Members: found, listed and revoked in their own mesh only.

use skein_openapi::members::Role;
use skein_sql::members;

use crate::{
    meshes::{key, mesh},
    place::Place,
};

#[tokio::test]
async fn a_key_is_a_member_of_its_own_mesh_only() {
    let place = Place::new().await;
    let (first, owner) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let bob = members::insert(&place.db, first.no, &key('b'), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap();

    let found = |no| members::find_by_key(&place.db, no, &bob.pubkey);

    assert_eq!(found(first.no).await.unwrap().as_ref(), Some(&bob));
    assert_eq!(found(second.no).await.unwrap(), None);
    assert_eq!(members::find(&place.db, second.no, &bob.id).await.unwrap(), None);
    assert_eq!(members::read(&place.db, second.no, &bob.id).await.unwrap(), None);
    assert_ne!(owner.mailbox, bob.mailbox);
}

#[tokio::test]
async fn a_key_joins_a_mesh_once() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;

    let again = members::insert(&place.db, mesh.no, &key('a'), "eve", Role::Member).await.unwrap();

    assert_eq!(again, None);
}

#[tokio::test]
async fn the_list_goes_on_where_it_ended_and_leaves_out_the_revoked() {
    let place = Place::new().await;
    let (first, owner) = mesh(&place, "first").await;
    mesh(&place, "second").await;
    let mut ids = vec![owner.id];
    for letter in ['b', 'c', 'd'] {
        let name = letter.to_string();
        let member = members::insert(&place.db, first.no, &key(letter), &name, Role::Member).await;
        ids.push(member.unwrap().unwrap().id);
    }
    members::revoke(&place.db, first.no, &ids[2]).await.unwrap().unwrap();
    ids.remove(2);

    let list = |after, limit| members::list(&place.db, first.no, after, limit);
    let head = list(None, 2).await.unwrap();
    let rest = list(Some(&head[1].id), 2).await.unwrap();

    let found: Vec<_> = head.iter().chain(&rest).map(|member| member.id.clone()).collect();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn a_revoked_member_is_known_but_is_no_member() {
    let place = Place::new().await;
    let (mesh, owner) = mesh(&place, "demo").await;
    let bob = members::insert(&place.db, mesh.no, &key('b'), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap();

    assert_eq!(members::revoke(&place.db, mesh.no, &bob.id).await.unwrap(), Some(bob.mailbox));

    let found = members::find_by_key(&place.db, mesh.no, &bob.pubkey).await.unwrap().unwrap();
    assert!(found.is_revoked);
    assert_eq!(members::read(&place.db, mesh.no, &bob.id).await.unwrap(), None);
    assert_eq!(members::revoke(&place.db, mesh.no, &bob.id).await.unwrap(), None);
    assert_eq!(members::revoke(&place.db, mesh.no, &owner.id).await.unwrap(), None, "an owner");
}

#[tokio::test]
async fn what_revokes_members_leaves_admins_alone() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    let admin = members::insert(&place.db, mesh.no, &key('b'), "bob", Role::Admin).await.unwrap();
    let admin = admin.unwrap();

    assert_eq!(members::revoke_plain(&place.db, mesh.no, &admin.id).await.unwrap(), None);
    assert!(members::revoke(&place.db, mesh.no, &admin.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_member_of_another_mesh_cannot_be_revoked() {
    let place = Place::new().await;
    let (first, _) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let bob = members::insert(&place.db, first.no, &key('b'), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap();

    assert_eq!(members::revoke(&place.db, second.no, &bob.id).await.unwrap(), None);
    assert_eq!(members::revoke(&place.db, first.no, &bob.id).await.unwrap(), Some(bob.mailbox));
}

#[tokio::test]
async fn a_session_key_is_known_in_its_mesh() {
    let place = Place::new().await;
    let (first, owner) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let session = place.session((first.no, owner.mailbox), "s").await;
    let key: String =
        place.row("select key from session where mailbox = $1", &[&session]).await.get(0);

    let is_known = |no| members::is_session_key_of_other(&place.db, no, &key);

    assert!(is_known(first.no).await.unwrap());
    assert!(!is_known(second.no).await.unwrap());
}
