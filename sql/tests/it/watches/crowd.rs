//! Who else is there: members with many watches, those who are none any more, and others who write.

use std::{collections::HashSet, time::Duration};

use skein_sql::watches::{self, Check, Due, Held};
use skein_wire::limit;

use super::{ALL, again, create, due, new, saw, stored};
use crate::place::Place;

#[tokio::test]
async fn what_is_held_is_not_found_and_a_member_has_a_share_that_leaves_room_for_the_others() {
    let place = Place::new().await;
    let (many, few) = (place.mesh("many").await, place.mesh("few").await);
    let share = limit::WATCHES_IN_HAND_PER_MEMBER_MAX;
    let fill =
        "insert into watch (mesh, id, member, url, mode, interval_s, notify_on, phase, next_at)
                select $1, 'w_' || lpad(to_hex(n), 8, '0'), $2, 'u', 'hash', 60, 'change', 0,
                       now() - interval '1 h'
                  from generate_series(1, $3::bigint) n";
    place.run(fill, &[&many.0, &many.1, &(share + 50)]).await;
    let alone = create(&place, few, new(few.1)).await;
    let find = async |n: i64, held: &[Due]| {
        let held: Vec<Held<'_>> = held
            .iter()
            .map(|due| Held { mesh: due.mesh, id: &due.id, member: due.member })
            .collect();
        watches::due(&place.db, &ALL, Duration::from_secs(1), n, &held).await.unwrap()
    };
    let of = |found: &[Due], member: i64| found.iter().filter(|d| d.member == member).count();

    let first = find(10, &[]).await;
    let rest = find(1000, &first).await;
    let all = [first.clone(), rest.clone()].concat();
    let none = find(1000, &all).await;

    assert!(first.iter().any(|due| due.id == alone), "it comes before the second of another's");
    assert_eq!((first.len(), of(&rest, few.1)), (10, 0));
    assert_eq!(of(&all, many.1) as i64, share);
    let ids: HashSet<(i64, &str)> = all.iter().map(|due| (due.mesh, due.id.as_str())).collect();
    assert_eq!(ids.len(), all.len(), "nothing was found twice");
    assert!(none.is_empty(), "the share is in hand: {}", none.len());
}

#[tokio::test]
async fn nobody_looks_for_a_revoked_member_or_an_archived_mesh_or_tells_them() {
    let place = Place::new().await;
    let (revoked, archived) = (place.mesh("revoked").await, place.mesh("archived").await);
    for mesh in [revoked, archived] {
        create(&place, mesh, new(mesh.1)).await;
    }
    let found = due(&place).await;
    let first: Vec<Check> = found.iter().map(|due| saw(due, "a")).collect();
    watches::record(&place.db, &first).await.unwrap();
    again(&place).await;
    let found = due(&place).await;
    // In the middle of a check; the revocation that also ends the watch is in another test.
    let revoke = "update member set revoked_at = now() where mailbox = $1";
    place.run(revoke, &[&revoked.1]).await;
    place.run("update mesh set archived_at = now() where no = $1", &[&archived.0]).await;

    let late: Vec<Check> = found.iter().map(|due| saw(due, "b")).collect();
    let told = watches::record(&place.db, &late).await.unwrap();
    again(&place).await;

    assert_eq!(found.len(), 2);
    assert!(told.is_empty() && stored(&place).await.is_empty());
    assert!(due(&place).await.is_empty());
}

#[tokio::test]
async fn two_that_write_the_same_results_at_once_wait_for_each_other_and_no_more() {
    const N: usize = 200;
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    for _ in 0..N {
        create(&place, mesh, new(mesh.1)).await;
    }
    let before = deadlocks(&place).await;
    let other = place.connect().await;
    for round in 0..20 {
        again(&place).await;
        let ours: Vec<Check> = due(&place).await.iter().map(|due| saw(due, "a")).collect();
        assert_eq!(ours.len(), limit::WATCHES_IN_HAND_PER_MEMBER_MAX as usize, "{round}");
        let theirs: Vec<Check> = ours.iter().rev().cloned().collect();
        let (a, b) =
            tokio::join!(watches::record(&place.db, &ours), watches::record(&other, &theirs));
        a.unwrap();
        b.unwrap();
    }

    // What was asked to wait for itself says so in the server's counts, sooner or later.
    place.run("select pg_stat_force_next_flush()", &[]).await;
    other.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
    assert_eq!(deadlocks(&place).await, before);
}

async fn deadlocks(place: &Place) -> i64 {
    place.run("select pg_stat_clear_snapshot()", &[]).await;
    place.count("select deadlocks from pg_stat_database where datname = current_database()").await
}

#[tokio::test]
async fn results_that_another_transaction_was_in_the_way_of_are_written_all_the_same() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    for _ in 0..2 {
        create(&place, mesh, new(mesh.1)).await;
    }
    let mut checks: Vec<Check> = due(&place).await.iter().map(|due| saw(due, "a")).collect();
    checks.sort_by(|a, b| a.due.id.cmp(&b.due.id));
    let other = place.connect().await;
    let lock = "select from watch where id = $1 for update";
    other.batch_execute("begin").await.unwrap();
    other.execute(lock, &[&checks[1].due.id]).await.unwrap();

    let crossing = async {
        let waits = "select count(*) from pg_locks where not granted";
        let watching = place.connect().await;
        while watching.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        // Whoever has waited longer is ended, and that is not this one.
        other.execute(lock, &[&checks[0].due.id]).await.unwrap();
        other.batch_execute("commit").await.unwrap();
    };
    let (written, ()) = tokio::join!(watches::record(&place.db, &checks), crossing);

    written.unwrap();
    assert_eq!(place.count("select count(*) from watch where check_no = 1").await, 2);
}
