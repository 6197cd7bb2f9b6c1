//! Skills: a name is its author's, also when two take it at once.

use skein_sql::{
    Settings,
    skills::{self, Outcome},
};
use skein_wire::{limit, skills::ShareSkill};

use crate::place::Place;

async fn member(place: &Place, mesh: i64, name: &str, role: &str) -> i64 {
    let insert = "insert into member (id, mesh, pubkey, display_name, role)
                  values ($1, $2, encode(sha256($3::text::bytea), 'hex'), $3, $4)
                  returning mailbox";
    let id = format!("{mesh}-{name}");
    place.row(insert, &[&id, &mesh, &name, &role]).await.get(0)
}

fn skill(name: &str, description: &str) -> ShareSkill {
    let text = |text: &str| text.to_owned();
    let tags = Some(vec![text("Rust"), text("CI")]);
    let instructions = text("do it");
    ShareSkill { name: text(name), description: text(description), instructions, tags }
}

#[tokio::test]
async fn a_name_is_its_authors_and_admins_stand_above() {
    let place = Place::new().await;
    let ((mesh, _), (foreign, other_owner)) = (place.mesh("a").await, place.mesh("b").await);
    let ann = member(&place, mesh, "ann", "member").await;
    let bob = member(&place, mesh, "bob", "member").await;
    let admin = member(&place, mesh, "admin", "admin").await;
    let share = async |mesh, member, text| {
        skills::share(&place.db, mesh, member, &skill("deploy", text)).await.unwrap()
    };
    let remove =
        async |mesh, member| skills::remove(&place.db, mesh, member, "deploy").await.unwrap();
    let taken = |name: &str| Outcome::Taken(name.to_owned());

    assert_eq!(share(mesh, ann, "one").await, Outcome::Done);
    assert_eq!(share(mesh, ann, "two").await, Outcome::Done);
    assert_eq!(share(mesh, bob, "three").await, taken("ann"));
    assert_eq!(remove(mesh, bob).await, taken("ann"));
    // The owner of another mesh is nobody here, and the same name is free there.
    assert_eq!(share(mesh, other_owner, "four").await, taken("ann"));
    assert_eq!(remove(mesh, other_owner).await, taken("ann"));
    assert_eq!(share(foreign, other_owner, "four").await, Outcome::Done);
    let kept = skills::get(&place.db, mesh, "deploy").await.unwrap().unwrap();
    assert_eq!((kept.description.as_str(), kept.author.as_str()), ("two", "ann"));

    assert_eq!(share(mesh, admin, "five").await, Outcome::Done);
    let kept = skills::get(&place.db, mesh, "deploy").await.unwrap().unwrap();
    assert_eq!((kept.description.as_str(), kept.author.as_str()), ("five", "admin"));
    assert_eq!(share(mesh, ann, "six").await, taken("admin"));
    assert_eq!(remove(mesh, admin).await, Outcome::Done);
    assert_eq!(remove(mesh, admin).await, Outcome::Absent);
    assert!(skills::get(&place.db, foreign, "deploy").await.unwrap().is_some());
}

#[tokio::test]
async fn of_two_who_take_a_name_at_once_one_has_it() {
    let place = Place::new().await;
    let (mesh, _) = place.mesh("a").await;
    let pool = place.connector.pool(Settings::Ordinary, 8).unwrap();

    for round in 0..10 {
        let name = format!("skill {round}");
        let x = member(&place, mesh, &format!("x{round}"), "member").await;
        let y = member(&place, mesh, &format!("y{round}"), "member").await;
        let (a, b) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let skill = skill(&name, "");
        let (x, y) =
            tokio::join!(skills::share(&a, mesh, x, &skill), skills::share(&b, mesh, y, &skill));

        let n_done = [x.unwrap(), y.unwrap()].iter().filter(|o| **o == Outcome::Done).count();
        assert_eq!(n_done, 1);
    }
}

#[tokio::test]
async fn a_search_reads_name_description_and_tags_whatever_their_case() {
    let place = Place::new().await;
    let (mesh, owner) = place.mesh("a").await;
    for (name, description) in [("Deploy", "to production"), ("review", "Pull requests, 100%")] {
        skills::share(&place.db, mesh, owner, &skill(name, description)).await.unwrap();
    }

    for (query, found) in [
        ("", &["Deploy", "review"][..]),
        ("DEPLOY", &["Deploy"]),
        ("pull", &["review"]),
        ("rust", &["Deploy", "review"]),
        ("0%", &["review"]),
        ("%", &["review"]),
        ("_", &[]),
    ] {
        let skills = skills::list(&place.db, mesh, query).await.unwrap();
        let names: Vec<_> = skills.iter().map(|skill| skill.name.as_str()).collect();
        assert_eq!(names, found, "{query}");
    }
}

#[tokio::test]
async fn a_mesh_has_so_many_skills_and_its_own_can_be_shared_anew() {
    let place = Place::new().await;
    let (mesh, owner) = place.mesh("a").await;
    let insert = "insert into skill (mesh, name, description, instructions, author)
                  select $1, 's' || n, '', '', $2 from generate_series(1, $3) as n";
    let n = i32::try_from(limit::SKILLS_MAX).unwrap();
    place.run(insert, &[&mesh, &owner, &n]).await;

    let one_more = skills::share(&place.db, mesh, owner, &skill("new", "")).await.unwrap();
    let again = skills::share(&place.db, mesh, owner, &skill("s1", "")).await.unwrap();

    assert_eq!(one_more, Outcome::Full(limit::SKILLS_MAX.unsigned_abs()));
    assert_eq!(again, Outcome::Done);
}
