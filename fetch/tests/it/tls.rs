//! Who a server is has to be shown.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use skein_fetch::{FetchError, Request, Response};

use crate::site::{Asked, Reply, Site, Told, Trap, request, trusting};

/// An authority that clients may trust.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// How a server with a certificate for these names is set up.
    fn server(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        config(certificate.der().clone(), &key)
    }
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

fn hello(_: &Asked) -> Reply {
    Reply::ok("hello")
}

async fn get(site: &Site, host: &str, roots: RootCertStore) -> Result<Response, FetchError> {
    let names = Told::default().name("site.example", &[&["127.0.0.1"]]);
    let url = format!("https://{host}:{}/", site.address.port());
    trusting(&site.rule(), Arc::new(names), roots).get(&request(&url)).await
}

#[tokio::test]
async fn a_server_that_shows_who_it_is_is_fetched() {
    let authority = Authority::new();
    let site = Site::secure(authority.server(&["site.example"], |_| ()), hello).await;

    let answer = get(&site, "site.example", authority.roots()).await.unwrap();

    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_server_that_does_not_is_asked_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = rcgen::generate_simple_self_signed(["site.example".to_owned()]).unwrap();
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2090, 1, 1);
    for (what, config) in [
        ("of an authority that nobody trusts", stranger.server(&["site.example"], |_| ())),
        ("signed by itself", config(own.cert.der().clone(), &own.signing_key)),
        ("for another name", authority.server(&["other.example"], |_| ())),
        ("for the names below", authority.server(&["*.site.example"], |_| ())),
        ("for its address only", authority.server(&["127.0.0.1"], |_| ())),
        ("expired", authority.server(&["site.example"], expired)),
        ("not yet valid", authority.server(&["site.example"], early)),
    ] {
        let site = Site::secure(config, hello).await;

        let error = get(&site, "site.example", authority.roots()).await.unwrap_err();

        assert_eq!(error.code(), "tls", "{what}: {error}");
        assert!(site.asked().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn an_address_needs_a_certificate_of_its_own() {
    let authority = Authority::new();
    let named = Site::secure(authority.server(&["site.example"], |_| ()), hello).await;
    let numbered = Site::secure(authority.server(&["127.0.0.1"], |_| ()), hello).await;

    let error = get(&named, "127.0.0.1", authority.roots()).await.unwrap_err();
    let answer = get(&numbered, "127.0.0.1", authority.roots()).await.unwrap();

    assert_eq!((error.code(), answer.status), ("tls", 200));
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_have_none() {
    let site = Site::start(hello).await;
    let raw = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = raw.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = raw.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let roots = Authority::new().roots();
    let fetcher = trusting("127.0.0.1", Arc::default(), roots);

    let error = fetcher.get(&request(&format!("https://127.0.0.1:{port}/"))).await.unwrap_err();

    assert_eq!(error.code(), "tls", "{error}");
    drop(site);
}

#[tokio::test]
async fn a_redirect_keeps_encryption() {
    let authority = Authority::new();
    let (plain, trap) = (Site::start(hello).await, Trap::start().await);
    let to_plain = plain.url("/");
    let secure = authority.server(&["site.example"], |_| ());
    let secure = Site::secure(secure, move |_| Reply::to(&to_plain)).await;
    let names = Told::default().name("site.example", &[&["127.0.0.1"]]);
    let allow = format!("{},{}", plain.rule(), secure.rule());
    let fetcher = trusting(&allow, Arc::new(names), authority.roots());
    let url = format!("https://site.example:{}/", secure.address.port());

    let error = fetcher.get(&request(&url)).await.unwrap_err();

    assert_eq!((error.code(), plain.n_connections()), ("downgrade", 0), "{error}");
    trap.assert_empty("by a downgrade");
}

#[tokio::test]
async fn a_redirect_to_encryption_is_followed_without_the_headers() {
    let authority = Authority::new();
    let secure = Site::secure(authority.server(&["site.example"], |_| ()), hello).await;
    let to_secure = format!("https://site.example:{}/", secure.address.port());
    let plain = Site::start(move |_| Reply::to(&to_secure)).await;
    let names = Told::default().name("site.example", &[&["127.0.0.1"]]);
    let allow = format!("{},{}", plain.rule(), secure.rule());
    let fetcher = trusting(&allow, Arc::new(names), authority.roots());
    let headers = [("Authorization".into(), "secret".into())].into();

    let request = Request { url: plain.url("/"), headers, ..Request::default() };
    let answer = fetcher.get(&request).await.unwrap();

    assert_eq!(answer.text(), "hello");
    assert_eq!(secure.asked()[0].header("authorization"), None);
}
