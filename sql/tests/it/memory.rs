//! Memories are found by index, whatever else there is.

use skein_sql::{
    Pool, Settings,
    memory::{self, Writer, grams},
};
use skein_wire::memory::MatchKind;

use crate::place::Place;

/// A mesh whose members speak of many things, and the pool of an edge.
async fn place(n_memories: i32) -> (Place, (i64, i64), Pool) {
    let place = Place::new().await;
    let mesh = place.mesh("talks").await;
    let pool = place.connector.pool(Settings::Ordinary, 2).unwrap();
    fill(&place, mesh, n_memories).await;
    (place, mesh, pool)
}

/// Puts so many memories into a mesh, of twelve words each out of five hundred.
async fn fill(place: &Place, mesh: (i64, i64), n_memories: i32) {
    let word =
        |n: i32| format!("{}tion{}", ["ra", "mo", "ke", "su", "vi"][n as usize % 5], n % 500);
    let contents: Vec<String> = (0..n_memories)
        .map(|n| (0..12).map(|i| word(n * 7 + i * 31)).collect::<Vec<_>>().join(" "))
        .collect();
    let grams: Vec<String> = contents
        .iter()
        .map(|content| {
            let groups = grams::of_text(content);
            let entries = groups.iter().map(|group| format!("'{} {group}'", mesh.0));
            entries.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let insert = "
        insert into memory (id, mesh, member, session_key, session_name, content, tags, words, grams)
        select $1::bigint || '-' || i, $1, $2, 'key', 'name', content, '{}',
               (select string_agg('''' || $1 || ' ' || lexeme || '''', ' ')
                  from unnest(to_tsvector('english', content)))::tsvector,
               grams::tsvector
          from unnest($3::text[], $4::text[]) with ordinality as m(content, grams, i)";
    place.run(insert, &[&mesh.0, &mesh.1, &contents, &grams]).await;
    place.db.batch_execute("analyze memory").await.unwrap();
}

#[tokio::test]
async fn five_thousand_memories_are_looked_for_by_index_in_every_way() {
    let (place, mesh, pool) = place(5000).await;
    let db = pool.get().await.unwrap();
    let mut n_plans = 0;
    let query = format!("'{} ration10' & '{} motion31'", mesh.0, mesh.0);

    for (name, text) in skein_sql::statements() {
        let Some(name) = name.strip_prefix("skein_sql::memory::FIND") else { continue };
        let index = match name {
            "" => "Bitmap Index Scan on memory_words",
            "_SIMILAR" => "Bitmap Index Scan on memory_grams",
            _ => "Index Scan using memory_newest",
        };
        n_plans += 1;
        // As an edge runs it: planned without its values.
        let prepare = format!("prepare find{name} (bigint, text, bigint, bigint) as {text}");
        db.batch_execute(&prepare).await.unwrap();
        let explain = format!("explain execute find{name} ({}, $q${query}$q$, 20, 500)", mesh.0);
        let plan = db.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");

        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
    assert_eq!(n_plans, 4);
    drop(place);
}

#[tokio::test]
async fn a_search_reads_what_it_finds_and_little_else() {
    let (place, mesh, pool) = place(1000).await;
    let other = place.mesh("others").await;
    fill(&place, other, 1000).await;
    let db = pool.get().await.unwrap();

    for (query, kind) in [
        ("ration0 motion31", MatchKind::Words),
        ("ration0 motion3", MatchKind::Prefix),
        ("raiton10", MatchKind::Similar),
    ] {
        let found = memory::recall(&db, mesh.0, query).await.unwrap();

        assert!(!found.is_empty(), "{query}");
        assert!(found.len() <= 20);
        let is_ours = |id: &str| id.starts_with(&format!("{}-", mesh.0));
        assert!(found.iter().all(|memory| is_ours(&memory.id)), "{query}");
        let kinds: Vec<_> = found.iter().filter_map(|m| m.found.as_ref()).map(|f| f.kind).collect();
        assert!(kinds.iter().all(|found| *found == kind), "{query}: {kinds:?}");
    }
}

#[tokio::test]
async fn the_count_is_of_what_is_not_forgotten() {
    let place = Place::new().await;
    let (mesh, member) = place.mesh("talks").await;
    let writer = Writer { member, session_key: "key", session_name: "name" };
    assert_eq!(memory::count(&place.db, mesh).await.unwrap(), 0);
    let mut ids = Vec::new();
    for n in 0..3 {
        let content = format!("note {n}");
        let kept = memory::remember(&place.db, mesh, writer, &content, &[]).await;
        ids.push(kept.unwrap().expect("there is room"));
    }

    for _ in 0..2 {
        memory::forget(&place.db, mesh, &ids[1], member).await.unwrap();
    }

    assert_eq!(memory::count(&place.db, mesh).await.unwrap(), 2);
    let emptied = "select count(*) from memory where words = '' and grams = ''";
    assert_eq!(place.count(emptied).await, 1, "no index knows what is forgotten");
}

#[tokio::test]
async fn words_that_most_memories_have_are_looked_for_among_the_newest() {
    let (place, mesh, pool) = place(1).await;
    let many = "
        insert into memory (id, mesh, member, session_key, session_name, content, tags, words, grams,
                            remembered_at)
        select n::text, $1, $2, 'key', 'name', 'deploy ' || n, '{}',
               array_to_tsvector(array[$1::bigint || ' deploy', $1 || ' ' || n]),
               array_to_tsvector(array[$1 || '   d', $1 || '  de', $1 || ' dep', $1 || ' epl']),
               now() - (5000 - n) * interval '1 s'
          from generate_series(1, 5000) n";
    place.run(many, &[&mesh.0, &mesh.1]).await;
    let db = pool.get().await.unwrap();

    for query in ["deploy", "deplo", "depl0y"] {
        let found = memory::recall(&db, mesh.0, query).await.unwrap();

        let ids: Vec<i32> = found.iter().map(|memory| memory.id.parse().unwrap()).collect();
        assert!(ids.iter().eq((4981..=5000).rev().collect::<Vec<_>>().iter()), "{query}: {ids:?}");
    }
    let one = memory::recall(&db, mesh.0, "deploy 7").await.unwrap();
    assert_eq!(one[0].id, "7", "what is rare is found however old");
}
