//! Duties: whose a bucket is.

use skein_sql::{
    duties::{self, BUCKETS, Kind},
    fence,
};

use crate::place::{Place, until};

const ALL: fn() -> Vec<i32> = || (0..BUCKETS).collect();

#[tokio::test]
async fn a_bucket_is_held_by_one_connection_only() {
    let place = Place::new().await;
    let (first, second) = (place.connect().await, place.connect().await);

    let mine = duties::take(&first, Kind::Sweep, &ALL(), 40).await.unwrap();
    let theirs = duties::take(&second, Kind::Sweep, &ALL(), 40).await.unwrap();

    assert_eq!(mine, (0..40).collect::<Vec<_>>());
    assert_eq!(theirs, (40..BUCKETS).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_lock_is_taken_beyond_what_was_asked_for() {
    let place = Place::new().await;
    let first = place.connect().await;

    let mine = duties::take(&first, Kind::Sweep, &ALL(), 5).await.unwrap();

    let locks = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                  where l.locktype = 'advisory' and d.datname = current_database()";
    assert_eq!((mine.len(), place.count(locks).await), (5, 5));
}

#[tokio::test]
async fn the_buckets_of_a_connection_that_ends_are_free() {
    let place = Place::new().await;
    let (first, second) = (place.connect().await, place.connect().await);
    duties::take(&first, Kind::Sweep, &ALL(), 64).await.unwrap();

    drop(first);

    until(async || duties::take(&second, Kind::Sweep, &[7], 1).await.unwrap() == [7]).await;
}

#[tokio::test]
async fn a_bucket_that_was_given_is_free() {
    let place = Place::new().await;
    let (first, second) = (place.connect().await, place.connect().await);
    duties::take(&first, Kind::Sweep, &ALL(), 64).await.unwrap();

    let n_given = duties::give(&first, Kind::Sweep, &[3, 4]).await.unwrap();

    let taken = duties::take(&second, Kind::Sweep, &ALL(), 64).await.unwrap();
    assert_eq!((n_given, taken), (2, vec![3, 4]));
}

#[tokio::test]
async fn a_seat_shows_which_workers_share_a_kind() {
    let place = Place::new().await;
    let (seated, standing) = (place.node("worker").await, place.node("worker").await);
    let first = place.connect().await;

    assert!(duties::sit(&first, Kind::Sweep, seated).await.unwrap());
    duties::take(&first, Kind::Sweep, &ALL(), 64).await.unwrap();

    let seats = async |id| {
        let nodes = fence::observe(&place.db).await.unwrap();
        nodes.into_iter().find(|n| n.id == id).unwrap().seats
    };
    assert_eq!(seats(seated).await, [Kind::Sweep]);
    assert_eq!(seats(standing).await, []);
}

#[tokio::test]
async fn who_leaves_gives_the_seat_and_every_bucket() {
    let place = Place::new().await;
    let node = place.node("worker").await;
    let (first, second) = (place.connect().await, place.connect().await);
    duties::sit(&first, Kind::Sweep, node).await.unwrap();
    duties::take(&first, Kind::Sweep, &ALL(), 64).await.unwrap();

    duties::leave(&first).await.unwrap();

    let taken = duties::take(&second, Kind::Sweep, &ALL(), 64).await.unwrap();
    assert_eq!(taken.len(), 64);
    assert!(duties::sit(&second, Kind::Sweep, node).await.unwrap());
}
