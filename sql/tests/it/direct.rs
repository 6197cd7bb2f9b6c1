//! A transaction pooler is found out, a direct server is not taken for one.

use std::sync::Arc;

use skein_sql::{Connector, direct};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use crate::place::Place;

#[tokio::test]
async fn a_direct_server_is_no_pooler() {
    let place = Place::new().await;

    direct::require(&place.connector).await.unwrap();
}

#[tokio::test]
async fn a_pooler_with_one_server_is_refused() {
    let place = Place::new().await;
    let through = Pooler::start(&place.database.url(), false).await;

    let refused = direct::require(&through).await.unwrap_err();

    assert_eq!(refused.to_string(), direct::POOLER);
}

#[tokio::test]
async fn a_pooler_that_takes_its_servers_in_turn_is_refused() {
    let place = Place::new().await;
    let through = Pooler::start(&place.database.url(), true).await;

    let refused = direct::require(&through).await.unwrap_err();

    assert_eq!(refused.to_string(), direct::POOLER);
}

#[tokio::test]
async fn a_pooler_that_refuses_our_settings_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        read_start(&mut client).await;
        let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
        client.write_all(&message(b'E', fields)).await.unwrap();
    });

    let through = Connector::new(&format!("postgres://a@127.0.0.1:{port}/b")).unwrap();

    assert_eq!(direct::require(&through).await.unwrap_err().to_string(), direct::POOLER);
}

/// Gives every transaction one of its servers: the first that is free, or each in turn. The first
/// clients bring one server each, through which they sign in.
struct Pooler {
    upstream: String,
    servers: Mutex<Vec<Arc<Mutex<TcpStream>>>>,
    n_servers: usize,
    turn: Mutex<usize>,
}

impl Pooler {
    /// Where to connect instead.
    async fn start(url: &str, in_turn: bool) -> Connector {
        let (before, after) = url.split_once('@').unwrap();
        let (upstream, database) = after.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pooler = Arc::new(Self {
            upstream: upstream.to_owned(),
            servers: Mutex::default(),
            n_servers: if in_turn { 2 } else { 1 },
            turn: Mutex::default(),
        });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&pooler).serve(client));
            }
        });
        Connector::new(&format!("{before}@127.0.0.1:{port}/{database}")).unwrap()
    }

    async fn serve(self: Arc<Self>, mut client: TcpStream) -> Option<()> {
        let start = read_start(&mut client).await;
        if self.servers.lock().await.len() < self.n_servers {
            let mut server = TcpStream::connect(&self.upstream).await.ok()?;
            server.write_all(&start).await.ok()?;
            // Signing in: each side speaks until the other has to.
            loop {
                let (kind, body) = read(&mut server).await?;
                client.write_all(&message(kind, &body)).await.ok()?;
                match (kind, body.get(..4)) {
                    (b'Z', _) => break,
                    (b'R', Some([0, 0, 0, 10 | 11])) => {
                        let (kind, body) = read(&mut client).await?;
                        server.write_all(&message(kind, &body)).await.ok()?;
                    }
                    _ => (),
                }
            }
            self.servers.lock().await.push(Arc::new(Mutex::new(server)));
        } else {
            client.write_all(&message(b'R', &[0; 4])).await.ok()?;
            client.write_all(&message(b'Z', b"I")).await.ok()?;
        }
        loop {
            let mut said = read(&mut client).await?;
            let server = self.pick().await;
            let mut server = server.lock().await;
            loop {
                server.write_all(&message(said.0, &said.1)).await.ok()?;
                if matches!(said.0, b'Q' | b'S') && answer(&mut server, &mut client).await? {
                    break;
                }
                said = read(&mut client).await?;
            }
        }
    }

    async fn pick(&self) -> Arc<Mutex<TcpStream>> {
        let servers = self.servers.lock().await;
        let mut turn = self.turn.lock().await;
        for _ in 0..servers.len() {
            *turn += 1;
            let server = &servers[*turn % servers.len()];
            if server.try_lock().is_ok() {
                return Arc::clone(server);
            }
        }
        Arc::clone(&servers[0])
    }
}

/// Hands on an answer; returns whether the transaction is over.
async fn answer(server: &mut TcpStream, client: &mut TcpStream) -> Option<bool> {
    loop {
        let (kind, body) = read(server).await?;
        client.write_all(&message(kind, &body)).await.ok()?;
        if kind == b'Z' {
            return Some(body == b"I");
        }
    }
}

async fn read_start(client: &mut TcpStream) -> Vec<u8> {
    let n = client.read_u32().await.unwrap();
    let mut rest = vec![0; n as usize - 4];
    client.read_exact(&mut rest).await.unwrap();
    [&n.to_be_bytes()[..], &rest].concat()
}

async fn read(from: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = from.read_u8().await.ok()?;
    let n = from.read_u32().await.ok()?;
    let mut body = vec![0; n as usize - 4];
    from.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let n = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &n.to_be_bytes(), body].concat()
}
