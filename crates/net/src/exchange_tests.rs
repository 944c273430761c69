//! HTTP sessions over in-memory streams: what is claimed, answered, refused, given up and told to end.

use std::sync::Arc;
use std::time::Duration;

use baton_dialect::SessionContext;
use baton_dialect::http::{HttpDialect, HttpOutput, HttpRequest, HttpSession};
use baton_engine::inbox::Wake;
use baton_engine::port::Outbox;
use baton_model::event::Fetched;
use baton_model::request::{Fetch, FetchSelect, LeaseMode};
use baton_model::{Event, LinkId, Name, Request, Time, Token};
use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connections::Entry;
use crate::http::HttpService;
use crate::limits::{HTTP_BODY_PAUSE, HTTP_HEADERS};
use crate::testing::{World, push, requests};

/// The body is the user and the queue to fetch from; the answer is how many came, or why none.
struct Toy;

#[derive(Default)]
struct ToySession {
    waits: bool,
    gone: bool,
}

impl HttpDialect for Toy {
    fn claims(&self, head: &Parts) -> bool {
        head.uri.path().starts_with("/toy")
    }

    fn session(&self, _: SessionContext) -> Box<dyn HttpSession> {
        Box::new(ToySession::default())
    }

    fn body_bytes_max(&self) -> usize {
        100
    }

    fn too_large(&self, _: &Parts) -> Response<Bytes> {
        Response::builder().status(400).body(Bytes::from_static(b"too large for a toy")).unwrap()
    }

    fn namespace(&self) -> Name {
        Name::new("/")
    }
}

impl HttpSession for ToySession {
    fn request(&mut self, _: Time, request: HttpRequest, out: &mut HttpOutput) {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let (user, queue) = body.split_once(' ').unwrap();
        out.user = Some(Name::new(user));
        let fetch = Fetch {
            token: Token(1),
            link: LinkId(0),
            queue: Name::new(queue),
            select: FetchSelect::Next,
            count_max: 1,
            lease: LeaseMode::Linked,
            wait_until: None,
            label: Name::default(),
        };
        out.requests.push(Request::Fetch(Box::new(fetch)));
        self.waits = true;
    }

    fn event(&mut self, _: Time, event: Event, out: &mut HttpOutput) {
        let Event::Fetched { result, .. } = event else { return };
        self.waits = false;
        if self.gone {
            out.requests.push(Request::Flow { link: LinkId(9), active: true });
            return;
        }
        let text = match result {
            Ok(fetched) => fetched.remaining.to_string(),
            Err(refusal) => refusal.to_string(),
        };
        out.response = Some(Response::new(Bytes::from(text)));
    }

    fn stop_waiting(&mut self, _: Time, out: &mut HttpOutput) {
        if self.waits {
            out.requests.push(Request::CancelFetch { token: Token(1) });
        }
    }

    fn abandoned(&mut self, now: Time, out: &mut HttpOutput) {
        self.gone = true;
        self.stop_waiting(now, out);
    }

    fn busy(&self) -> bool {
        self.waits
    }

    fn catalog_changed(&mut self) {}
}

fn connect(world: &World) -> (DuplexStream, JoinHandle<()>, Arc<Entry>) {
    let registered = world.register();
    let entry = Arc::clone(&registered.entry);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let router = axum::Router::new().fallback(|| async { "the router" });
    let service = HttpService::new(Arc::clone(&world.hub), router, 1_000, vec![Arc::new(Toy)], None);
    let task = tokio::spawn(async move {
        service.serve(theirs, &registered.entry).await;
        drop(registered);
    });
    (ours, task, entry)
}

async fn post(stream: &mut DuplexStream, path: &str, body: &str) {
    let text = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// What the engine got, as soon as it got something; with the outbox if a connection began.
async fn got(world: &World) -> (Vec<Request>, Option<Arc<Outbox>>) {
    loop {
        let wakes = world.engine.take();
        if !wakes.is_empty() {
            let outbox = wakes.iter().find_map(|wake| match wake {
                Wake::Connect(_, outbox) => Some(Arc::clone(outbox)),
                _ => None,
            });
            return (requests(wakes), outbox);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn read(stream: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut buf = [0; 1_024];
        let n = stream.read(&mut buf).await.unwrap();
        assert!(n > 0, "it ended: {text}");
        text.push_str(std::str::from_utf8(&buf[..n]).unwrap());
    }
    text
}

fn fetched(remaining: u64) -> Event {
    Event::Fetched { token: Token(1), result: Ok(Fetched { remaining, ..Fetched::default() }) }
}

#[tokio::test(start_paused = true)]
async fn requests_go_to_who_claims_them_and_a_connection_keeps_its_port() {
    let world = World::new();
    let (mut stream, _task, _) = connect(&world);
    post(&mut stream, "/toy", "guest q").await;
    let (asked, outbox) = got(&world).await;
    let outbox = outbox.unwrap();
    assert!(matches!(asked.as_slice(), [Request::Open { .. }, Request::Fetch(_)]), "{asked:?}");
    push(&outbox, vec![fetched(41)]);
    assert!(read(&mut stream, "41").await.starts_with("HTTP/1.1 200 OK"));

    post(&mut stream, "/other", "").await;
    read(&mut stream, "the router").await;

    post(&mut stream, "/toy", "guest q").await;
    let (asked, again) = got(&world).await;
    assert!(again.is_none() && matches!(asked.as_slice(), [Request::Fetch(_)]), "{asked:?}");
    push(&outbox, vec![fetched(42)]);
    read(&mut stream, "42").await;
}

#[tokio::test(start_paused = true)]
async fn each_request_has_the_rights_of_its_user() {
    let world = World::new();
    let (mut stream, _task, _) = connect(&world);
    post(&mut stream, "/toy", "ann q").await;
    read(&mut stream, "read access to queue 'q' in vhost '/' refused for user 'ann'").await;
    assert_eq!(world.counters.denied_requests.read(), 1);
    post(&mut stream, "/toy", "nobody q").await;
    read(&mut stream, "log in first").await;
    assert_eq!(world.counters.failed_logins.read(), 1);
    drop(world.engine.take());
    post(&mut stream, "/toy", "guest q").await;
    let (asked, _) = got(&world).await;
    assert!(matches!(asked.as_slice(), [Request::Open { .. }, ..]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn too_large_a_body_is_answered_by_the_dialect_and_not_read() {
    let world = World::new();
    for head in ["content-length: 101", "transfer-encoding: chunked"] {
        let (mut stream, task, _) = connect(&world);
        let text =
            format!("POST /toy HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read(&mut stream, "too large for a toy").await;
        assert!(answer.contains("connection: close"), "{answer}");
        task.await.unwrap();
    }
}

/// A byte now and then keeps neither headers nor a body open.
#[tokio::test(start_paused = true)]
async fn whoever_drips_is_closed_in_time_and_nothing_is_asked() {
    let world = World::new();
    let body = "POST /toy HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n";
    let chunks = "POST /toy HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for (begin, drip, max) in [
        ("POST /toy HTTP/1.1\r\nx: ", "y", HTTP_HEADERS),
        (body, "b", HTTP_BODY_PAUSE),
        (chunks, "1\r\nc\r\n", HTTP_BODY_PAUSE),
    ] {
        let (mut stream, task, _) = connect(&world);
        let begun = Instant::now();
        stream.write_all(begin.as_bytes()).await.unwrap();
        while !task.is_finished() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The end that nobody reads any more refuses it.
            let _ = stream.write_all(drip.as_bytes()).await;
        }
        assert!(begun.elapsed() <= max + Duration::from_secs(3), "{begin:?}: {:?}", begun.elapsed());
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(world.engine.take().is_empty(), "the engine heard of it");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_peer_goes_away_is_given_up_and_finished() {
    let world = World::new();
    let (mut stream, task, _) = connect(&world);
    post(&mut stream, "/toy", "guest q").await;
    let (_, outbox) = got(&world).await;
    drop(stream);
    task.await.unwrap();
    let (asked, _) = got(&world).await;
    assert!(matches!(asked.as_slice(), [Request::CancelFetch { .. }]), "{asked:?}");
    push(&outbox.unwrap(), vec![fetched(1)]);
    let (asked, _) = got(&world).await;
    assert!(matches!(asked.as_slice(), [Request::Flow { .. }]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_waiting() {
    let world = World::new();
    let (mut stream, task, entry) = connect(&world);
    post(&mut stream, "/toy", "guest q").await;
    let (_, outbox) = got(&world).await;
    entry.close("bye");
    let (asked, _) = got(&world).await;
    assert!(matches!(asked.as_slice(), [Request::CancelFetch { .. }]), "{asked:?}");
    push(&outbox.unwrap(), vec![fetched(0)]);
    read(&mut stream, "0").await;
    task.await.unwrap();
}
