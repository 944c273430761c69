//! Listeners over real sockets on loopback: TLS, limits, errors.

use std::net::Ipv4Addr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::testing::{Lines, World};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn lines() -> SessionFactory {
    Arc::new(|context| {
        assert!(context.loopback);
        Box::new(Lines::default())
    })
}

fn serve(world: &World, tls: Option<Tls>) -> Serving {
    Listener::bind("lines", ANY.into(), tls).unwrap().serve(Arc::clone(&world.hub), lines())
}

async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await.unwrap();
    all
}

/// A certificate for `localhost`, and a client that trusts it.
fn certificate() -> (Tls, TlsConnector) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (c, k) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&c, cert.pem()).unwrap();
    std::fs::write(&k, signing_key.serialize_pem()).unwrap();
    let tls = Tls::load(&c, &k).unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cert.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (tls, TlsConnector::from(Arc::new(config)))
}

#[tokio::test]
async fn plain_connections_are_served_and_counted() {
    let world = World::new();
    let serving = serve(&world, None);
    assert_ne!(serving.address.port(), 0);
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(b"echo hello\nbye\n").await.unwrap();
    assert_eq!(answer(&mut stream).await, b"hello\nbye\n");
    drop(stream);
    assert_eq!(serving.counters.accepted.read(), 1);
    assert_eq!(serving.counters.bytes_in.read(), 15);
    assert_eq!(serving.counters.bytes_out.read(), 10);
    assert_eq!(world.hub.shutdown("done").await, 0);
    serving.task.await.unwrap();
    assert!(TcpStream::connect(serving.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn tls_carries_much_in_both_directions() {
    let world = World::new();
    let (tls, connector) = certificate();
    let serving = serve(&world, Some(tls));
    assert!(serving.encrypted);
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(b"fill 3000000\necho encrypted\nbye\n").await.unwrap();
    let all = answer(&mut stream).await;
    assert_eq!(all.len(), 3_000_000 + 14);
    assert!(all.ends_with(b"encrypted\nbye\n"));
}

#[tokio::test]
async fn plain_text_to_tls_is_closed_and_counted() {
    let world = World::new();
    let (tls, _) = certificate();
    let serving = serve(&world, Some(tls));
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    answer(&mut stream).await;
    drop(stream);
    while !world.hub.connections().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(serving.counters.failed_handshakes.read(), 1);
    let rustls_says = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    let problem = handshake_problem(&io::Error::new(io::ErrorKind::InvalidData, rustls_says));
    assert!(problem.contains("does not speak TLS"), "{problem}");
}

#[tokio::test]
async fn tls_to_plain_gets_an_alert() {
    let world = World::new();
    let (_, connector) = certificate();
    let serving = serve(&world, None);
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let error = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    assert_eq!(serving.counters.failed_handshakes.read(), 1);
}

#[tokio::test]
async fn too_many_connections_are_closed_at_once() {
    let world = World::with_room_for(2);
    let serving = serve(&world, None);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(b"echo x\n").await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        held.push(stream);
    }
    let mut third = TcpStream::connect(serving.address).await.unwrap();
    assert!(answer(&mut third).await.is_empty());
    assert_eq!((serving.counters.refused.read(), serving.counters.open.read()), (1, 2));
    held.pop();
    while serving.counters.open.read() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut fourth = TcpStream::connect(serving.address).await.unwrap();
    fourth.write_all(b"bye\n").await.unwrap();
    assert_eq!(answer(&mut fourth).await, b"bye\n");
}

#[tokio::test]
async fn errors_of_binding_say_what_to_do() {
    let first = Listener::bind("lines", ANY.into(), None).unwrap();
    let taken = Listener::bind("amqp", first.address(), None).unwrap_err();
    assert!(taken.is_address_in_use());
    let says = taken.to_string();
    assert!(says.contains(&format!("amqp on {}", first.address())) && says.contains("port 0"), "{says}");
    let foreign = Listener::bind("amqp", (Ipv4Addr::new(192, 0, 2, 1), 0).into(), None).unwrap_err();
    assert!(!foreign.is_address_in_use());
    assert!(foreign.to_string().contains("no such address"), "{foreign}");
}

#[test]
fn running_out_of_descriptors_is_waited_out_and_lost_peers_are_not() {
    let mut pause = ACCEPT_PAUSE_MIN;
    for _ in 0..20 {
        pause = next_pause(pause);
    }
    assert_eq!(pause, ACCEPT_PAUSE_MAX);
    assert!(is_peers_fault(&io::ErrorKind::ConnectionAborted.into()));
    assert!(!is_peers_fault(&io::Error::from_raw_os_error(24)), "EMFILE");
}
