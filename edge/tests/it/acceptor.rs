//! How connections come in: who makes no progress is closed, and nobody else.

use std::{env, process::Command, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Route, Server, get, handler, post,
    web::websocket::{Message, WebSocket},
};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use skein_edge::acceptor::{Deadlines, EdgeAcceptor, tls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, rustls};

use crate::harness::SOON;

/// The deadlines of these tests.
const SHORT: Duration = Duration::from_millis(300);
/// Longer than each of them.
const LONGER: Duration = Duration::from_millis(900);

/// Only this one is short; a test of it cannot pass by another.
fn only(change: impl FnOnce(&mut Deadlines)) -> Deadlines {
    let mut deadlines = Deadlines::default();
    change(&mut deadlines);
    deadlines
}

#[handler]
async fn measure(body: Vec<u8>) -> String {
    body.len().to_string()
}

#[handler]
fn large() -> Vec<u8> {
    vec![b'x'; 64 * 1024 * 1024]
}

/// Answers each message with itself, twice.
#[handler]
fn echo(socket: WebSocket) -> impl IntoResponse {
    socket.on_upgrade(async |mut socket| {
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            for _ in 0..2 {
                if socket.send(Message::text(text.clone())).await.is_err() {
                    return;
                }
            }
        }
    })
}

fn app() -> impl Endpoint + 'static {
    Route::new()
        .at("/", post(measure))
        .at("/large", get(large))
        .at("/ws", get(echo))
        .map_to_response()
}

async fn serve_with(
    deadlines: Deadlines,
    sockets_max: usize,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = EdgeAcceptor::new(listener, tls, deadlines, sockets_max);
    tokio::spawn(Server::new_with_acceptor(acceptor).run(app()));
    port
}

async fn serve(deadlines: Deadlines) -> u16 {
    serve_with(deadlines, 100, None).await
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Everything that comes until the other side closes, which it must.
async fn read_out(socket: &mut TcpStream) -> String {
    let mut came = Vec::new();
    let read = timeout(SOON, socket.read_to_end(&mut came)).await;
    read.expect("the connection is closed").ok();
    String::from_utf8_lossy(&came).into_owned()
}

/// Sends a byte every few milliseconds until the other side has closed, which it must.
async fn trickle(mut socket: TcpStream, byte: u8) {
    let trickling = async {
        let mut answer = [0; 64];
        loop {
            tokio::select! {
                read = socket.read(&mut answer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => (),
                },
                () = sleep(Duration::from_millis(20)) => {
                    if socket.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    timeout(SOON, trickling).await.expect("the connection is closed");
}

/// One request on a connection that stays; returns the body of the answer.
async fn ask(socket: &mut TcpStream, body: &str) -> String {
    let request =
        format!("POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    answer(socket).await
}

async fn answer(socket: &mut TcpStream) -> String {
    let reading = async {
        let mut came = String::new();
        loop {
            let mut bytes = [0; 1024];
            let n = socket.read(&mut bytes).await.unwrap();
            assert!(n > 0, "closed after {came:?}");
            came += &String::from_utf8_lossy(&bytes[..n]);
            if let Some((head, body)) = came.split_once("\r\n\r\n")
                && head.contains(&format!("content-length: {}", body.len()))
            {
                return body.to_owned();
            }
        }
    };
    timeout(SOON, reading).await.expect("an answer comes")
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let port = serve(only(|it| it.head = SHORT)).await;
    let start = Instant::now();

    assert_eq!(read_out(&mut connect(port).await).await, "");

    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_with_half_a_head_is_closed() {
    let port = serve(only(|it| it.head = SHORT)).await;
    let mut socket = connect(port).await;
    socket.write_all(b"POST / HTTP/1.1\r\nHost: ed").await.unwrap();

    assert_eq!(read_out(&mut socket).await, "");
}

#[tokio::test]
async fn a_head_that_trickles_is_closed() {
    let port = serve(only(|it| it.head = SHORT)).await;
    let mut socket = connect(port).await;
    socket.write_all(b"GET /large HTTP/1.1\r\nX-Slow: ").await.unwrap();

    trickle(socket, b'x').await;
}

#[tokio::test]
async fn a_connection_with_half_a_body_is_closed() {
    let port = serve(only(|it| it.body = SHORT)).await;
    let mut socket = connect(port).await;
    let half = b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 10\r\n\r\n12345";
    socket.write_all(half).await.unwrap();

    read_out(&mut socket).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_closed() {
    let port = serve(only(|it| it.body = SHORT)).await;
    let mut socket = connect(port).await;
    let head = b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 100000\r\n\r\n";
    socket.write_all(head).await.unwrap();

    trickle(socket, b'x').await;
}

#[tokio::test]
async fn a_large_body_has_longer() {
    let port = serve(only(|it| it.body = SHORT)).await;
    let mut socket = connect(port).await;
    let head = b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 40001\r\n\r\n";
    socket.write_all(head).await.unwrap();
    socket.write_all(&[b'x'; 40_000]).await.unwrap();
    sleep(LONGER).await;
    socket.write_all(b"x").await.unwrap();

    assert_eq!(answer(&mut socket).await, "40001");
}

#[tokio::test]
async fn a_connection_serves_many_requests_with_pauses_between_them() {
    let port = serve(only(|it| (it.head, it.body) = (SHORT, SHORT))).await;
    let mut socket = connect(port).await;

    for body in ["1", "22", "333"] {
        assert_eq!(ask(&mut socket, body).await, body.len().to_string());
        sleep(SHORT * 2).await;
    }
}

#[tokio::test]
async fn the_second_request_of_a_connection_has_deadlines_too() {
    let port = serve(only(|it| it.head = SHORT)).await;
    let mut socket = connect(port).await;
    ask(&mut socket, "1").await;
    socket.write_all(b"POST / HT").await.unwrap();

    assert_eq!(read_out(&mut socket).await, "");
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let port = serve(only(|it| it.idle = SHORT)).await;
    let mut socket = connect(port).await;
    ask(&mut socket, "1").await;

    assert_eq!(read_out(&mut socket).await, "");
}

#[tokio::test]
async fn who_asks_before_sending_a_body_is_told_to_go_on_and_has_its_time() {
    let port = serve(only(|it| (it.head, it.idle) = (SHORT, SHORT))).await;
    let mut socket = connect(port).await;
    let head = b"POST / HTTP/1.1\r\nHost: edge\r\nExpect: 100-continue\r\n\
                 Content-Length: 3\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let mut line = [0; 25];
    timeout(SOON, socket.read_exact(&mut line)).await.unwrap().unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    sleep(LONGER).await;
    socket.write_all(b"333").await.unwrap();

    assert_eq!(answer(&mut socket).await, "3");
}

#[tokio::test]
async fn an_upgraded_socket_has_no_deadlines() {
    let short = Deadlines { handshake: SHORT, head: SHORT, body: SHORT, idle: SHORT, write: SHORT };
    let port = serve(short).await;
    let url = format!("ws://127.0.0.1:{port}/ws");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    sleep(LONGER).await;

    socket.send("still here".into()).await.unwrap();

    let frame = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.into_text().unwrap().as_str(), "still here");
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_closed() {
    let port = serve_with(only(|it| it.write = SHORT), 1, None).await;
    let mut stuck = connect(port).await;
    stuck.write_all(b"GET /large HTTP/1.1\r\nHost: edge\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    timeout(SOON, stuck.read_exact(&mut first)).await.unwrap().unwrap();

    // The one permit comes back without anything having been read.
    until_served(port).await;
}

/// Connects until a connection is served.
async fn until_served(port: u16) -> TcpStream {
    let trying = async {
        loop {
            let mut socket = connect(port).await;
            let request = b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\n\r\n1";
            let mut byte = [0; 1];
            if socket.write_all(request).await.is_ok()
                && matches!(socket.read(&mut byte).await, Ok(1))
            {
                return socket;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, trying).await.expect("a connection is served")
}

#[tokio::test]
async fn one_connection_more_than_the_limit_is_closed_at_once() {
    let port = serve_with(Deadlines::default(), 2, None).await;
    let (mut one, mut two) = (connect(port).await, connect(port).await);
    ask(&mut one, "1").await;
    ask(&mut two, "1").await;

    assert_eq!(read_out(&mut connect(port).await).await, "");

    ask(&mut two, "the others stay").await;
    drop(one);
    until_served(port).await;
}

#[tokio::test]
async fn http_2_is_refused() {
    let port = serve(Deadlines::default()).await;
    let mut socket = connect(port).await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();

    assert_eq!(read_out(&mut socket).await, "");
}

#[tokio::test]
async fn two_small_frames_in_a_row_are_not_held_back() {
    let port = serve(Deadlines::default()).await;
    let url = format!("ws://127.0.0.1:{port}/ws");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut times = Vec::new();

    for _ in 0..20 {
        let start = Instant::now();
        socket.send("x".into()).await.unwrap();
        for _ in 0..2 {
            timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        }
        times.push(start.elapsed());
    }

    times.sort();
    assert!(times[10] < Duration::from_millis(25), "{times:?}");
}

/// A certificate for localhost that signs itself, as files.
struct Certificate {
    folder: tempfile::TempDir,
    pem: String,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pem = made.cert.pem();
        std::fs::write(folder.path().join("certificate"), &pem).unwrap();
        std::fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
        Self { folder, pem }
    }

    fn config(&self) -> Arc<rustls::ServerConfig> {
        let at = |name| self.folder.path().join(name);
        tls::config(&at("certificate"), &at("key")).unwrap()
    }

    fn connector(&self) -> TlsConnector {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

#[tokio::test]
async fn requests_are_served_over_tls() {
    let certificate = Certificate::new();
    let port = serve_with(Deadlines::default(), 10, Some(certificate.config())).await;
    let name = "localhost".try_into().unwrap();
    let mut socket = certificate.connector().connect(name, connect(port).await).await.unwrap();

    let request =
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n123";
    socket.write_all(request).await.unwrap();

    let mut came = String::new();
    timeout(SOON, socket.read_to_string(&mut came)).await.unwrap().ok();
    assert!(came.starts_with("HTTP/1.1 200") && came.ends_with("\r\n\r\n3"), "{came}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_closed_and_holds_nobody_up() {
    let certificate = Certificate::new();
    let deadlines = only(|it| it.handshake = SHORT);
    let port = serve_with(deadlines, 10, Some(certificate.config())).await;
    let mut silent = connect(port).await;
    let mut plain = connect(port).await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let name = "localhost".try_into().unwrap();

    certificate.connector().connect(name, connect(port).await).await.unwrap();

    read_out(&mut silent).await;
    read_out(&mut plain).await;
}

#[test]
fn a_certificate_that_cannot_be_read_is_named() {
    let certificate = Certificate::new();
    let key = certificate.folder.path().join("key");
    let nothing = certificate.folder.path().join("nothing");

    let error = tls::config(&nothing, &key).unwrap_err().to_string();

    assert!(error.contains("nothing") && error.contains("certificates"), "{error}");
    let other = Certificate::new();
    let error = tls::config(
        &certificate.folder.path().join("certificate"),
        &other.folder.path().join("key"),
    );
    assert!(error.is_err(), "a key of another certificate");
}

/// In a process of its own, since the limit is the process's.
#[test]
fn a_process_out_of_files_waits_and_then_serves_again() {
    const CHILD: &str = "SKEIN_TEST_OUT_OF_FILES";
    if env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(out_of_files());
    }
    let name = "acceptor::a_process_out_of_files_waits_and_then_serves_again";
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn out_of_files() {
    let port = serve(Deadlines::default()).await;
    ask(&mut connect(port).await, "1").await;
    let n_open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(n_open + 4);
    setrlimit(Resource::Nofile, limit).unwrap();

    let mut sockets = Vec::new();
    while let Ok(socket) = TcpStream::connect(("127.0.0.1", port)).await {
        sockets.push(socket);
    }
    // Connections wait that cannot be accepted.
    let before = clock_gettime(ClockId::ProcessCPUTime);
    sleep(Duration::from_secs(1)).await;
    let after = clock_gettime(ClockId::ProcessCPUTime);
    let spent_ms =
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1_000_000;
    drop(sockets);

    until_served(port).await;
    assert!(spent_ms < 200, "{spent_ms} ms of a second");
}
