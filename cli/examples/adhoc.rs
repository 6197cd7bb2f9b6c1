//! adhoc fault run
use skein::client::*;
use skein_crypto::*;
use skein_wire::Priority;
use std::collections::HashMap;
use std::time::*;
#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let home = skein::home::Home::at(std::path::Path::new("/tmp/cliw/e2e/ann")).unwrap();
    let m = home.membership(None).unwrap();
    let a: Vec<String> = std::env::args().collect();
    let n: usize = a[1].parse().unwrap();
    let per: usize = a[2].parse().unwrap();
    let disk = a.get(3).is_some_and(|x| x == "disk");
    let edges = vec!["ws://127.0.0.1:17901/ws".to_string(), "ws://127.0.0.1:17902/ws".to_string()];
    let mut cs = vec![];
    let tmp = std::path::PathBuf::from("/tmp/cliw/e2e/boxes");
    let _ = std::fs::remove_dir_all(&tmp);
    for i in 0..n * 2 {
        let mut e = edges.clone();
        if i % 2 == 1 {
            e.reverse();
        }
        let mut c =
            Config::new(e, &m.mesh_id, &m.member_id, m.member().unwrap(), Keypair::generate());
        c.display_name = Some(format!("p{i}"));
        if disk {
            c.keep = Keep::Disk(tmp.join(i.to_string()));
        }
        cs.push(Client::connect(c, Duration::from_secs(20)).await.unwrap());
    }
    let moving: Vec<Client> = cs.iter().map(|c| c.0.clone()).collect(); let es=edges.clone();
    let mover = a.get(4).is_some_and(|x| x=="move"); let mv = tokio::spawn(async move { let mut k=0usize; while mover { tokio::time::sleep(Duration::from_millis(37)).await; let c=&moving[k*7%moving.len()]; let to = if c.edge().as_deref()==Some(es[0].as_str()) {&es[1]} else {&es[0]}; c.move_to(to); k+=1; } });
    let t = Instant::now();
    let mut hs = vec![];
    let mut rs = vec![];
    let keys: Vec<String> = cs.iter().map(|c| c.0.session().hex()).collect();
    for (i, (c, mut p)) in cs.into_iter().enumerate() {
        if i < n {
            let to = keys[n + i].clone();
            hs.push(tokio::spawn(async move {
                let mut q = std::collections::VecDeque::new();
                let mut k = 0;
                let mut acked = 0;
                let mut err = HashMap::<String, u32>::new();
                let _p = p;
                while k < per || !q.is_empty() {
                    while k < per && q.len() < 32 {
                        q.push_back(c.send(&to, Priority::Next, &format!("{k}")));
                        k += 1;
                    }
                    match q.pop_front().unwrap().await {
                        Ok(_) => acked += 1,
                        Err(e) => {
                            *err.entry(e.to_string()).or_default() += 1;
                        }
                    }
                }
                (acked, err, c)
            }));
        } else {
            rs.push(tokio::spawn(async move {
                let mut got = 0usize;
                let mut bad = 0;
                let mut next = 0usize;
                let mut moves = 0;
                loop {
                    match tokio::time::timeout(Duration::from_secs(60), p.next()).await {
                        Err(_) => break,
                        Ok(None) => break,
                        Ok(Some(Incoming::Message(m))) => {
                            let k: usize = m.text.unwrap().parse().unwrap();
                            if k != next {
                                bad += 1;
                                eprintln!("want {next} got {k}");
                            }
                            next = k + 1;
                            got += 1;
                            if got == per {
                                break;
                            }
                        }
                        Ok(Some(Incoming::Connected { .. })) => moves += 1,
                        Ok(Some(Incoming::Closed(c))) => {
                            eprintln!("closed {c}");
                            break;
                        }
                        _ => (),
                    }
                }
                // look for extras
                while let Ok(Some(i)) =
                    tokio::time::timeout(Duration::from_millis(1500), p.next()).await
                {
                    if let Incoming::Message(m) = i {
                        eprintln!("extra {:?}", m.text);
                        bad += 1;
                    }
                }
                (got, bad, moves, c)
            }));
        }
    }
    let mut acked = 0;
    for h in hs {
        let (a, e, _) = h.await.unwrap();
        acked += a;
        if !e.is_empty() {
            println!("{e:?}");
        }
    }
    mv.abort();
    println!("acked {acked} in {:?}", t.elapsed());
    let (mut got, mut bad, mut mv) = (0, 0, 0);
    for r in rs {
        let (g, b, m, _) = r.await.unwrap();
        got += g;
        bad += b;
        mv += m;
    }
    println!("got {got} bad {bad} connects {mv} in {:?}", t.elapsed());
}
