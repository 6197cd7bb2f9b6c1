//! Many watches.

use std::time::Duration;

use skein_sql::{
    duties::{self, Kind},
    watches::{self, Created, New},
};

use super::{mesh, new, worker};
use crate::{
    place::{Place, until},
    web::Web,
};

/// Watches, hosts that they are on, and how long they are looked at.
const WATCHES: usize = 500;
const HOSTS: u8 = 50;
const FOR: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_watches_of_five_seconds_are_all_looked_at_every_time() {
    let (place, web) = (Place::new().await, Web::at(HOSTS).await);
    let mesh = mesh(&place, 1).await;
    place.run("begin", &[]).await;
    for n in 0..WATCHES {
        let url = format!("http://{}/{n}", web.addresses[n % usize::from(HOSTS)]);
        let watch =
            New { interval_s: 5, mode: skein_wire::watches::Mode::Status, ..new(mesh.1, &url) };
        let made = watches::create(&place.db, mesh.0, watch).await.unwrap();
        assert!(matches!(made, Created::Made(_)));
    }
    place.run("commit", &[]).await;
    let _worker = worker(&place);
    duties::wake(&place.db, Kind::Watch).await.unwrap();

    tokio::time::sleep(FOR).await;
    // The first at once, then one in each interval; the last may be on its way.
    let n_checks = i64::try_from(FOR.as_secs() / 5).unwrap();
    let all = "select min(check_no) >= $1 and count(*) filter (where failures > 0) = 0 from watch";
    until(async || place.row(all, &[&n_checks]).await.get(0)).await;

    let report = "select n_done, late_ms_max, late_ms_p99 from duty_report where kind = 'watch'";
    let row = place.row(report, &[]).await;
    let (n, max, p99): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    println!("{n} checks, at most {max} ms late, {p99} ms at p99");
    for n in 0..WATCHES {
        let n_hits = web.hits(&format!("/{n}")).len();
        assert!(n_hits >= usize::try_from(n_checks).unwrap(), "{n}: {n_hits}");
    }
}
