//! The schema's general rules, asked of PostgreSQL's own catalogue.

use skein_sql::migrate;

use crate::place::Place;

/// Tables that belong to no mesh.
const OF_THE_DEPLOYMENT: &[&str] = &[
    "audit_place",
    "duty_report",
    "mesh",
    "node",
    "nonce_seen",
    "hook_pending",
    "send_key_0",
    "send_key_1",
    "send_key_turn",
    "receipt",
    "refinery_schema_history",
];

#[tokio::test]
async fn every_foreign_key_has_an_index_on_its_own_side() {
    let place = Place::new().await;
    let bare = place
        .db
        .query(
            "select c.conrelid::regclass::text || '.' || a.attname as name
               from pg_constraint c
               join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
              where c.contype = 'f'
                and not exists (select from pg_index i
                                 where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])",
            &[],
        )
        .await
        .unwrap();
    let bare: Vec<String> = bare.iter().map(|row| row.get("name")).collect();
    assert!(bare.is_empty(), "without an index: {bare:?}");
}

#[tokio::test]
async fn every_timestamp_has_a_zone() {
    let place = Place::new().await;
    let n = place
        .count(
            "select count(*) from information_schema.columns
              where table_schema = 'public' and data_type = 'timestamp without time zone'",
        )
        .await;
    assert_eq!(n, 0);
}

#[tokio::test]
async fn every_table_names_its_mesh_or_is_the_deployments() {
    let place = Place::new().await;
    let tables = place
        .db
        .query(
            "select c.relname::text as name,
                    exists (select from pg_attribute a
                             where a.attrelid = c.oid and a.attname = 'mesh') as has_mesh
               from pg_class c
              where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                and not c.relispartition",
            &[],
        )
        .await
        .unwrap();
    for row in tables {
        let (name, has_mesh): (String, bool) = (row.get("name"), row.get("has_mesh"));
        let expected = !OF_THE_DEPLOYMENT.contains(&name.as_str());
        assert_eq!(has_mesh, expected, "{name}");
    }
}

#[tokio::test]
async fn nothing_of_contrib_is_used() {
    let place = Place::new().await;
    let n = place.count("select count(*) from pg_extension where extname <> 'plpgsql'").await;
    assert_eq!(n, 0);
}

/// `sql/schema.sql` is what the migrations come to; `UPDATE=1` writes it.
#[tokio::test]
async fn the_schema_in_the_repository_is_what_the_migrations_make() {
    let place = Place::new().await;
    let made = schema(&place).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.sql");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, made, "run the tests with UPDATE=1");
}

/// Every table with its columns, constraints and indexes, in a fixed order.
async fn schema(place: &Place) -> String {
    let mut text = String::from(
        "-- What the migrations come to, for readers. Written by a test; nobody edits it by hand.\n",
    );
    let tables = place
        .db
        .query(
            "select c.oid::int8 as oid, c.relname::text as name,
                    case c.relpersistence when 'u' then 'unlogged table' else 'table' end as kind,
                    coalesce(array_to_string(c.reloptions, ', '), '') as options,
                    coalesce(pg_get_partkeydef(c.oid), '') as parted
               from pg_class c
              where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                and not c.relispartition and c.relname <> 'refinery_schema_history'
              order by c.relname",
            &[],
        )
        .await
        .unwrap();
    for table in tables {
        let oid: i64 = table.get("oid");
        let lines = place
            .db
            .query(
                "select line from (
                    select 1 as part, a.attnum::int as place,
                           a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                           || case when a.attnotnull then ' not null' else '' end
                           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
                           || case a.attidentity when 'a' then ' generated always as identity'
                                                 else '' end as line
                      from pg_attribute a
                      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                     where a.attrelid = $1::int8::oid and a.attnum > 0 and not a.attisdropped
                    union all
                    select 2, row_number() over (order by pg_get_constraintdef(oid))::int,
                           pg_get_constraintdef(oid)
                      from pg_constraint
                     where conrelid = $1::int8::oid and contype <> 'n'
                    union all
                    select 3, row_number() over (order by indexrelid::regclass::text)::int,
                           pg_get_indexdef(indexrelid)
                      from pg_index
                     where indrelid = $1::int8::oid and not indisprimary) lines
                 order by part, place",
                &[&oid],
            )
            .await
            .unwrap();
        let (name, kind): (String, String) = (table.get("name"), table.get("kind"));
        let (options, parted): (String, String) = (table.get("options"), table.get("parted"));
        text.push_str(&format!("\n{kind} {name}"));
        for part in [("partition by ", parted), ("with ", options)] {
            if !part.1.is_empty() {
                text.push_str(&format!(" {}{}", part.0, part.1));
            }
        }
        text.push('\n');
        for line in lines {
            text.push_str(&format!("    {}\n", line.get::<_, String>("line")));
        }
    }
    text
}

#[tokio::test]
async fn two_migrations_at_once_apply_each_step_once() {
    let database = skein_embedded::testing::database().await;
    let connector = skein_sql::Connector::new(&database.url()).unwrap();

    let (first, second) = tokio::join!(migrate::run(&connector), migrate::run(&connector));
    first.unwrap();
    second.unwrap();
    migrate::run(&connector).await.unwrap();

    let db = connector.connect(skein_sql::Settings::Ordinary).await.unwrap();
    let rows = db
        .query("select version from refinery_schema_history order by version", &[])
        .await
        .unwrap();
    let versions: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    let expected: Vec<i32> = (1..=i32::try_from(versions.len()).unwrap()).collect();
    assert_eq!(versions, expected, "no gaps, none twice");
}

#[tokio::test]
async fn a_newer_database_and_a_changed_migration_are_refused() {
    let place = Place::new().await;
    place
        .run(
            "insert into refinery_schema_history (version, name, applied_on, checksum)
             values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
            &[],
        )
        .await;
    migrate::run(&place.connector).await.expect_err("the database is newer");

    place.run("delete from refinery_schema_history where version = 9999", &[]).await;
    migrate::run(&place.connector).await.expect("as it was");
    place.run("update refinery_schema_history set checksum = '1' where version = 1", &[]).await;
    migrate::run(&place.connector).await.expect_err("a migration that was applied has changed");
}
