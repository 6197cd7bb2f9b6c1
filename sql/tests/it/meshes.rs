//! Meshes and their members: what is kept, and whose it is.

use skein_openapi::{
    members::{Grant, Role},
    meshes::NewMesh,
};
use skein_sql::{members, meshes, meshes::Mesh};

use crate::place::Place;

/// A key that is made of one letter.
pub fn key(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// A mesh of this name, whose owner's key is all `a`, and its owner.
pub async fn mesh(place: &Place, slug: &str) -> (Mesh, members::Member) {
    let new = NewMesh {
        slug: slug.to_owned(),
        name: format!("The mesh {slug}"),
        owner_pubkey: key('a'),
        member_pubkey: None,
        display_name: "ann".to_owned(),
    };
    let mesh = meshes::create(&place.db, &new).await.unwrap().unwrap();
    let owner = members::insert(&place.db, mesh.no, &key('a'), "ann", Role::Owner).await.unwrap();
    (mesh, owner.unwrap())
}

#[tokio::test]
async fn a_mesh_is_found_by_its_id_and_by_its_slug() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;

    assert_eq!(meshes::find(&place.db, &mesh.id).await.unwrap().unwrap(), mesh);
    assert_eq!(meshes::find_by_slug(&place.db, "demo").await.unwrap().unwrap(), mesh);
    assert_eq!(meshes::find(&place.db, "demo").await.unwrap(), None);
    assert_eq!(mesh.id.len(), 32);
}

#[tokio::test]
async fn an_archived_mesh_is_not_found() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;
    place.run("update mesh set archived_at = now()", &[]).await;

    assert_eq!(meshes::find(&place.db, &mesh.id).await.unwrap(), None);
    assert_eq!(meshes::find_by_slug(&place.db, "demo").await.unwrap(), None);
}

#[tokio::test]
async fn a_slug_is_taken_once() {
    let place = Place::new().await;
    mesh(&place, "demo").await;
    let again = NewMesh {
        slug: "demo".to_owned(),
        name: "Another".to_owned(),
        owner_pubkey: key('b'),
        member_pubkey: None,
        display_name: "bob".to_owned(),
    };

    assert_eq!(meshes::create(&place.db, &again).await.unwrap(), None);
}

#[tokio::test]
async fn a_mesh_counts_its_own_sockets_and_members() {
    let place = Place::new().await;
    let (first, owner) = mesh(&place, "first").await;
    let (second, _) = mesh(&place, "second").await;
    let node = place.node("edge").await;
    let session = place.session((first.no, owner.mailbox), "s").await;
    place.attach(session, node).await;
    let bob = members::insert(&place.db, first.no, &key('b'), "bob", Role::Member).await.unwrap();
    members::revoke(&place.db, first.no, &bob.unwrap().id).await.unwrap();

    let counts = |no| meshes::counts(&place.db, no);

    assert_eq!(counts(first.no).await.unwrap(), meshes::Counts { peers: 1, members: 1 });
    assert_eq!(counts(second.no).await.unwrap(), meshes::Counts { peers: 0, members: 1 });
}

#[tokio::test]
async fn what_rest_says_of_a_mesh_is_what_is_kept() {
    let place = Place::new().await;
    let (mesh, _) = mesh(&place, "demo").await;

    let object = mesh.object(meshes::counts(&place.db, mesh.no).await.unwrap());

    assert_eq!((object.slug.as_str(), object.members), ("demo", 1));
    assert_eq!(object.owner_pubkey, key('a'));
    assert!(object.created_at.ends_with('Z') && object.created_at.len() == 24, "{object:?}");
}

#[tokio::test]
async fn a_change_of_role_is_of_one_mesh_and_never_of_an_owner() {
    let place = Place::new().await;
    let (mesh_1, owner) = mesh(&place, "first").await;
    let (mesh_2, _) = mesh(&place, "second").await;
    let bob = members::insert(&place.db, mesh_1.no, &key('b'), "bob", Role::Member).await.unwrap();
    let bob = bob.unwrap();
    let set = |mesh, id| members::set_role(&place.db, mesh, id, Grant::Admin);

    assert!(!set(mesh_2.no, &bob.id).await.unwrap());
    assert!(!set(mesh_1.no, &owner.id).await.unwrap());
    assert!(set(mesh_1.no, &bob.id).await.unwrap());

    let bob = members::find(&place.db, mesh_1.no, &bob.id).await.unwrap().unwrap();
    assert_eq!(bob.role, Role::Admin);
}
