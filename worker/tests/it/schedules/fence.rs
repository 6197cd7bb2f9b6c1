//! The fence: whoever inserts a fire's message holds the lock of its bucket.

use skein_sql::duties::{BUCKETS, Kind};

use super::{maker, now, place, seconds};

#[tokio::test]
async fn the_backend_that_stores_a_fire_holds_the_lock_of_its_bucket() {
    let place = place().await;
    // Written by the transaction that stores the message, on its own connection.
    let watch = "
        create table seen (mesh bigint not null, held boolean not null);
        create function see() returns trigger language plpgsql as $$
        begin
            insert into seen
            select new.mesh, exists (
                select from pg_locks
                 where locktype = 'advisory' and granted and pid = pg_backend_pid()
                   and database = (select oid from pg_database where datname = current_database())
                   and classid::bigint = tg_argv[0]::bigint
                   and objid::bigint = new.mesh % tg_argv[1]::bigint and objsubid = 2);
            return null;
        end $$;";
    place.db.batch_execute(watch).await.unwrap();
    let (class, buckets) = (Kind::Schedule.class(), BUCKETS);
    let trigger = format!(
        "create trigger see after insert on message
            for each row execute function see('{class}', '{buckets}')"
    );
    place.db.batch_execute(&trigger).await.unwrap();
    let mut made = Vec::new();
    let slot = now(&place).await + seconds(1);
    for n in 0..20 {
        let maker = maker(&place, &format!("m{n}")).await;
        made.push((maker.make(&place, maker.reminder(slot)).await, maker));
    }

    let _workers = [place.worker(), place.worker()];
    for (id, maker) in &made {
        maker.logged(&place, *id, 1).await;
    }

    let seen = place.row("select count(*), count(*) filter (where held) from seen", &[]).await;
    assert_eq!((seen.get::<_, i64>(0), seen.get::<_, i64>(1)), (20, 20));
}
