//! HTTP over in-memory streams: who asks, limits, patience, the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::*;
use crate::connections::Entry;
use crate::testing::World;

fn router() -> axum::Router {
    axum::Router::new()
        .route("/peer", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                "at last"
            }),
        )
}

fn connect(world: &World, body_bytes_max: usize) -> (DuplexStream, JoinHandle<()>, Arc<Entry>) {
    let registered = world.register();
    let entry = Arc::clone(&registered.entry);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let service = HttpService::new(Arc::clone(&world.hub), router(), body_bytes_max, Vec::new(), None);
    let task = tokio::spawn(async move {
        service.serve(theirs, &registered.entry).await;
        drop(registered);
    });
    (ours, task, entry)
}

async fn ask(world: &World, request: &str) -> String {
    let (mut stream, _task, _) = connect(world, 3_000_000);
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut DuplexStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn handlers_know_who_asks() {
    let world = World::new();
    let answer = ask(&world, "GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("127.0.0.1:4711, loopback: true, encrypted: false"), "{answer}");
    assert!(world.counters.bytes_in.read() > 40 && world.counters.bytes_out.read() > 100);
}

#[tokio::test(start_paused = true)]
async fn bodies_have_one_limit_and_it_is_the_configured_one() {
    let world = World::new();
    let body = "b".repeat(2_500_000);
    let post = |length: usize, body: &str| {
        format!(
            "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    assert!(
        ask(&world, &post(body.len(), &body)).await.ends_with("\r\n\r\n2500000"),
        "more than axum's own limit"
    );
    let answer = ask(&world, &post(3_000_001, "")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let mut chunks = format!("{:x}\r\n", 1_000_000) + &"c".repeat(1_000_000) + "\r\n";
    chunks = chunks.repeat(4) + "0\r\n\r\n";
    let (mut stream, task, _) = connect(&world, 3_000_000);
    let head = "POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = stream.write_all((head.to_owned() + &chunks).as_bytes()).await;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    drop(stream);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_dawdles_is_closed() {
    let world = World::new();
    let (mut stream, task, _) = connect(&world, 1000);
    stream.write_all(b"GET /peer HTTP/1.1\r\nho").await.unwrap();
    let begin = Instant::now();
    rest(&mut stream).await;
    task.await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), HTTP_HEADERS.as_secs());

    let (mut stream, _task, _) = connect(&world, 1000);
    stream.write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc").await.unwrap();
    let begin = Instant::now();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 400"));
    assert_eq!(begin.elapsed().as_secs(), HTTP_BODY_PAUSE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn headers_have_limits() {
    let world = World::new();
    let many: String = (0..HTTP_HEADERS_MAX + 1).map(|n| format!("h{n}: v\r\n")).collect();
    let answer = ask(&world, &format!("GET /peer HTTP/1.1\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /peer HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HTTP_HEADER_BYTES_MAX));
    let (mut stream, task, _) = connect(&world, 1000);
    let _ = stream.write_all(long.as_bytes()).await;
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431"));
    drop(stream);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_finished_and_an_idle_connection_closed() {
    let world = World::new();
    let (mut busy, busy_task, _) = connect(&world, 1000);
    let (mut idle, idle_task, _) = connect(&world, 1000);
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begin = Instant::now();
    assert_eq!(world.hub.shutdown("maintenance").await, 0);
    assert!(begin.elapsed() < GOODBYE);
    assert!(rest(&mut busy).await.ends_with("at last"));
    assert_eq!(rest(&mut idle).await, "");
    busy_task.await.unwrap();
    idle_task.await.unwrap();
}
