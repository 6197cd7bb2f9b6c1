//! Recall over many memories: written by SQL, as `sql/src/memory.rs` would write them, then looked
//! for over a socket.
//!
//! A memory has 25 words out of 20,000, common ones far more often than rare ones, as in a language
//! (the n-th most common is found n times less often). A query is two words of some memory: as they
//! are, the last one cut short, or one of them misspelt. Nothing is left out for being common.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use skein::client::{Client, Config};
use skein::home::Home;
use skein_crypto::Keypair;
use skein_sql::{Connector, Settings, memory::grams};
use skein_wire::memory::{MatchKind, Recall};
use tokio_postgres::Client as Db;

/// Words of the language.
const WORDS: usize = 20_000;
/// Words of a memory.
const MEMORY_WORDS: usize = 25;
/// Memories of one statement.
const STEP: usize = 1_000;
/// Queries that are measured, after some that are not.
const QUERIES: usize = 1_000;
const WARM: usize = 100;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

const INSERT: &str = "
    insert into memory (id, mesh, member, session_key, session_name, content, tags, words, grams)
    select md5(random()::text || i), m.mesh, m.mailbox, 'key', 'name', c.content, '{}',
           (select string_agg('''' || m.mesh || ' ' || lexeme || ''':'
                              || array_to_string(positions, ','), ' ')
              from unnest(to_tsvector('english', c.content)))::tsvector,
           array_to_tsvector(array(select m.mesh || ' ' || gram
                                     from jsonb_array_elements_text(c.grams::jsonb) as gram))
      from unnest($1::text[], $2::text[]) with ordinality as c(content, grams, i),
           (select mesh, mailbox from member order by mailbox limit 1) m";

/// The indexes are made after the rows, which takes seconds instead of minutes.
const WITHOUT: &str = "drop index memory_words, memory_grams";
const WITH: &str = "
    create index memory_words on memory using gin (words) with (fastupdate = off);
    create index memory_grams on memory using gin (grams) with (fastupdate = off)";

type Error = Box<dyn std::error::Error>;

/// What was measured.
pub struct Recalled {
    /// Milliseconds of each query, least first.
    pub each_ms: Vec<f64>,
    /// How many queries were answered by words, by their beginnings, and by likeness.
    pub by: [usize; 3],
}

/// Fills the mesh of this home with so many memories, and looks for some.
pub fn measure(home: &Path, url: &str, count: usize) -> Result<Recalled, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(run(home, url, count)).map_err(|error| format!("recall: {error}"))
}

async fn run(home: &Path, url: &str, count: usize) -> Result<Recalled, Error> {
    let mut random = StdRng::seed_from_u64(1);
    let words = language(&mut random);
    let db = Connector::new(url)?.connect(Settings::Maintenance).await?;
    let memories = fill(&db, &mut random, &words, count).await?;
    let membership = Home::at(home)?.membership(None)?;
    let config = Config::new(
        membership.edges.clone(),
        &membership.mesh_id,
        &membership.member_id,
        membership.member()?,
        Keypair::generate(),
    );
    let (client, _pushes) = Client::connect(config, PATIENCE).await?;
    let (mut each_ms, mut by) = (Vec::new(), [0; 3]);
    for n in 0..WARM + QUERIES {
        let memory = &memories[random.random_range(0..memories.len())];
        let query = query(&mut random, memory, n % 5);
        let since = Instant::now();
        let found = client.request_within(&Recall { query }, PATIENCE).await?.memories;
        if n < WARM {
            continue;
        }
        each_ms.push(since.elapsed().as_secs_f64() * 1e3);
        match found.first().and_then(|memory| memory.found.as_ref()).map(|found| found.kind) {
            Some(MatchKind::Words) => by[0] += 1,
            Some(MatchKind::Prefix) => by[1] += 1,
            Some(MatchKind::Similar) => by[2] += 1,
            None => (),
        }
    }
    client.close().await;
    each_ms.sort_by(f64::total_cmp);
    Ok(Recalled { each_ms, by })
}

/// Words of two to five syllables, the most common first.
fn language(random: &mut StdRng) -> Vec<String> {
    let (consonants, vowels) = (b"bcdfghjklmnprstvwz", b"aeiou");
    let mut known = BTreeSet::new();
    let mut words = Vec::new();
    while words.len() < WORDS {
        let mut word = String::new();
        for _ in 0..random.random_range(2..=5) {
            word.push(consonants[random.random_range(0..consonants.len())].into());
            word.push(vowels[random.random_range(0..vowels.len())].into());
        }
        if known.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

async fn fill(
    db: &Db,
    random: &mut StdRng,
    words: &[String],
    count: usize,
) -> Result<Vec<Vec<String>>, Error> {
    db.batch_execute(WITHOUT).await?;
    let insert = db.prepare(INSERT).await?;
    let mut all = Vec::new();
    while all.len() < count {
        let memories: Vec<Vec<String>> = (0..STEP)
            .map(|_| {
                let word = |_| {
                    // The logarithm of its place is even.
                    let place = (words.len() as f64).powf(random.random::<f64>());
                    words[place as usize - 1].clone()
                };
                (0..MEMORY_WORDS).map(word).collect()
            })
            .collect();
        let contents: Vec<String> = memories.iter().map(|memory| memory.join(" ")).collect();
        let grams = contents.iter().map(|content| serde_json::to_string(&grams::of_text(content)));
        let grams: Vec<String> = grams.collect::<Result<_, _>>()?;
        db.execute(&insert, &[&contents, &grams]).await?;
        all.extend(memories);
    }
    db.batch_execute(WITH).await?;
    db.batch_execute("vacuum analyze memory").await?;
    db.batch_execute("checkpoint").await?;
    Ok(all)
}

/// Two words of a memory; the last one cut short, or one misspelt, in one case of five each.
fn query(random: &mut StdRng, memory: &[String], case: usize) -> String {
    let mut pick = || memory[random.random_range(0..memory.len())].clone();
    let (first, mut last) = (pick(), pick());
    match case {
        0 => last.truncate(last.len() - 1),
        1 => {
            let mut letters: Vec<char> = last.chars().collect();
            letters.swap(1, 2);
            last = letters.into_iter().collect();
        }
        _ => (),
    }
    format!("{first} {last}")
}
