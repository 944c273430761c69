//! The driver over in-memory streams, with a session of lines and an engine that only holds what it gets.

use std::time::Duration;

use baton_engine::delivery_bytes;
use baton_engine::inbox::{INBOX_BYTES_MAX, Wake};
use baton_engine::port::OUTBOX_BYTES_MAX;
use baton_model::ids::ConnectionId;
use baton_model::list::Listed;
use baton_model::{Event, Message, Reply, Token};
use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::time::timeout;

use super::*;
use crate::limits::{GOODBYE, READ_AHEAD_BYTES_MAX};
use crate::testing::{World, delivery, push, requests};

const BUFFER: usize = 64 * 1024;

/// Long enough for anything that happens, and waited for only where nothing should.
const QUIET: Duration = Duration::from_millis(50);

struct Client(BufReader<DuplexStream>);

impl Client {
    fn new(stream: DuplexStream) -> Self {
        Self(BufReader::new(stream))
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// One line; empty when the connection is closed.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }

    async fn asks(&mut self, text: &str) -> String {
        self.send(text).await;
        self.line().await
    }

    async fn open(&mut self) {
        assert_eq!(self.asks("login guest guest\n").await, "hello guest");
        self.send("open default\necho opened\n").await;
        assert_eq!(self.line().await, "opened");
    }

    async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.0.fill_buf()).await.is_err()
    }
}

#[tokio::test]
async fn requests_of_one_read_are_one_hand_over_and_answers_one_write() {
    let world = World::new();
    let (stream, _task, entry) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.open().await;
    world.engine.take();
    client.send("publish a\necho 1\npublish b\necho 2\n").await;
    assert_eq!(client.line().await, "1");
    assert_eq!(client.line().await, "2");
    let wakes = world.engine.take();
    assert!(
        matches!(&wakes[..], [Wake::Requests(ConnectionId(1), requests, bytes)] if requests.len() == 2 && *bytes == 34)
    );
    assert_eq!(entry.description(), "lines");
    assert!(world.counters.bytes_in.read() > 34 && world.counters.bytes_out.read() > 4);
}

#[tokio::test]
async fn logins_are_answered_and_what_was_sent_ahead_waits_for_them() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    assert_eq!(client.asks("login guest wrong\n").await, "refused: user 'guest' - invalid credentials");
    assert_eq!(world.counters.failed_logins.read(), 1);
    assert_eq!(client.asks("open /\n").await, "refused: not authenticated; log in first");
    for _ in 0..2 {
        // The second time the answer is known at once; what follows in the same read must not be forgotten then either.
        client.send("login guest guest\nopen default\necho in\n").await;
        assert_eq!(client.line().await, "hello guest");
        assert_eq!(client.line().await, "in");
    }
    let opened: Vec<_> = requests(world.engine.take());
    assert!(matches!(&opened[..], [baton_model::Request::Open { namespace, .. }, _] if namespace == "/"));
}

#[tokio::test]
async fn strangers_never_reach_the_engine() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    assert_eq!(client.asks("publish x\n").await, "publish refused: not authenticated; log in first");
    assert_eq!(client.asks("login ann pw\n").await, "hello ann");
    assert_eq!(client.asks("open nowhere\n").await, "refused: vhost nowhere not found");
    assert!(world.engine.take().is_empty());
}

#[tokio::test]
async fn refusals_come_back_as_the_answers_of_their_requests() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    assert_eq!(client.asks("login ann pw\n").await, "hello ann");
    client.send("open /\npublish orders\npublish secrets\nfetch orders\npublish orders\n").await;
    assert_eq!(
        client.line().await,
        "publish refused: write access to exchange 'secrets' in vhost '/' refused for user 'ann'"
    );
    assert_eq!(
        client.line().await,
        "fetch refused: read access to queue 'orders' in vhost '/' refused for user 'ann'"
    );
    assert_eq!(requests(world.engine.take()).len(), 3, "open and the two that are allowed");
    assert_eq!(world.counters.denied_requests.read(), 2);
}

#[tokio::test]
async fn who_does_not_read_its_answers_may_not_ask_for_more() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.open().await;
    let outbox = world.outbox();
    // Elements of lists that are on their way, and have not arrived yet.
    let elements = vec![Message::new(vec![b'x'; OUTBOX_BYTES_MAX + 1].into(), 0)];
    let result = Ok(Reply::Listed(Listed::Elements(elements)));
    let mut events = vec![Event::Reply { token: Token(99), result }];
    let bytes = events.iter().map(delivery_bytes).sum();
    assert_eq!(bytes, OUTBOX_BYTES_MAX + 1);
    outbox.push(&mut Vec::new(), bytes);
    client.send("publish orders\n").await;
    tokio::time::sleep(QUIET).await;
    assert!(requests(world.engine.take()).is_empty(), "nothing is asked for meanwhile");
    outbox.push(&mut events, 0);
    assert!(client.line().await.len() > OUTBOX_BYTES_MAX);
    tokio::time::sleep(QUIET).await;
    assert_eq!(requests(world.engine.take()).len(), 1, "they are written");
}

#[tokio::test]
async fn a_slow_reader_stops_the_engine_and_is_served_when_it_reads() {
    let world = World::new();
    let (stream, task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.open().await;
    let outbox = world.outbox();
    let whole = OUTBOX_BYTES_MAX + OUTBOX_BYTES_MAX / 2;
    push(&outbox, (0..whole / 1024).map(|_| delivery(1024)).collect());
    tokio::time::sleep(QUIET).await;
    assert!(outbox.over_limit(), "what is not written counts");
    push(&outbox, vec![delivery(10)]);
    tokio::time::sleep(QUIET).await;
    assert!(world.engine.take().is_empty(), "nobody resumes while nobody reads");

    let mut got = vec![0; OUTBOX_BYTES_MAX / 4];
    client.0.read_exact(&mut got).await.unwrap();
    tokio::time::sleep(QUIET).await;
    assert!(outbox.over_limit(), "still more than may wait");
    assert!(world.engine.take().is_empty());
    let mut rest = vec![0; whole + 10 - got.len()];
    client.0.read_exact(&mut rest).await.unwrap();
    assert!(rest.iter().all(|byte| *byte == b'x'));
    let wakes = world.engine.take();
    assert!(wakes.iter().any(|wake| matches!(wake, Wake::Resume(ConnectionId(1)))));
    assert!(!outbox.over_limit());

    // A peer that vanishes without reading is noticed.
    push(&outbox, (0..1024).map(|_| delivery(1024)).collect());
    tokio::time::sleep(QUIET).await;
    drop(client);
    timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    assert!(world.engine.take().iter().any(|wake| matches!(wake, Wake::Disconnect(ConnectionId(1)))));
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_may_not_ask_more() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.send("fill 1000000\n").await;
    tokio::time::sleep(QUIET).await;
    let flood = "echo x\n".repeat(100_000);
    let sent = timeout(QUIET, client.0.get_mut().write_all(flood.as_bytes())).await;
    assert!(sent.is_err(), "the driver stopped reading");
    assert!(world.counters.bytes_in.read() < 3 * READ_AHEAD_BYTES_MAX as u64);
    let mut filled = vec![0; 1_000_000];
    client.0.read_exact(&mut filled).await.unwrap();
    assert_eq!(client.line().await, "x");
}

#[tokio::test]
async fn a_congested_engine_stops_reading_and_loses_nothing() {
    let world = World::new();
    let (stream, task, entry) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.open().await;
    world.engine.take();
    world.engine.inbox.push(Wake::Requests(ConnectionId(9), Vec::new(), INBOX_BYTES_MAX + 1));
    client.send("echo later\n").await;
    assert!(client.is_quiet().await);
    world.engine.take();
    entry.ring();
    assert_eq!(client.line().await, "later");

    world.engine.inbox.push(Wake::Requests(ConnectionId(9), Vec::new(), INBOX_BYTES_MAX + 1));
    drop(client);
    timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_connection_gives_back_what_it_held() {
    let world = World::new();
    let (stream, task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    client.open().await;
    world.engine.take();
    drop(client);
    task.await.unwrap();
    let wakes = world.engine.take();
    assert!(matches!(&wakes[..], [Wake::Requests(_, requests, 0), Wake::Disconnect(_)]
        if matches!(requests[..], [baton_model::Request::Detach { failed: true, .. }])));
    assert!(world.hub.connections().is_empty());
    assert_eq!(world.counters.open.read(), 0);
}

#[tokio::test]
async fn a_panic_closes_its_own_connection_and_no_other() {
    let world = World::new();
    let (good, good_task, _) = world.connect(BUFFER);
    let (bad, bad_task, _) = world.connect(BUFFER);
    let (mut good, mut bad) = (Client::new(good), Client::new(bad));
    bad.open().await;
    world.engine.take();
    bad.send("echo before\n").await;
    assert_eq!(bad.line().await, "before");
    assert_eq!(bad.asks("panic\n").await, "", "closed");
    bad_task.await.unwrap();
    assert!(matches!(world.engine.take()[..], [Wake::Disconnect(_)]));
    assert_eq!(world.counters.defects.read(), 1);
    assert_eq!(good.asks("echo alive\n").await, "alive");
    drop(good);
    good_task.await.unwrap();
}

#[tokio::test]
async fn the_last_words_are_read_even_by_a_peer_that_keeps_sending() {
    let world = World::new();
    let (stream, task, _) = world.connect(1024);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let flood = tokio::spawn(async move { while writer.write_all(&[b'z'; 700]).await.is_ok() {} });
    let mut client = world.connect(1024).0;
    client.write_all(b"fill 50000\nbye\n").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 50_004);
    assert!(all.ends_with(b"bye\n"), "the session's last words and nothing after them");
    drop(client);
    // The flooding one ends too when it is told to.
    world.hub.connections().list().iter().for_each(|entry| entry.close("enough"));
    let mut said = [0; 16];
    reader.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"closing: enough\n");
    timeout(GOODBYE * 3, task).await.unwrap().unwrap();
    drop(reader);
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn peers_are_told_goodbye_and_have_a_few_seconds() {
    let world = World::new();
    let (polite, polite_task, _) = world.connect(BUFFER);
    let (silent, silent_task, _) = world.connect(BUFFER);
    let (mut polite, mut silent) = (Client::new(polite), Client::new(silent));
    assert_eq!(polite.asks("echo hi\n").await, "hi");
    let hub = Arc::clone(&world.hub);
    let begin = tokio::time::Instant::now();
    let shutdown = tokio::spawn(async move { hub.shutdown("maintenance").await });
    assert_eq!(polite.line().await, "closing: maintenance");
    assert_eq!(polite.asks("bye\n").await, "bye");
    assert_eq!(polite.line().await, "");
    drop(polite);
    polite_task.await.unwrap();
    assert!(begin.elapsed() < GOODBYE / 2);
    assert_eq!(silent.line().await, "closing: maintenance");
    assert_eq!(silent.line().await, "", "closed without having answered");
    assert!(begin.elapsed() >= GOODBYE && begin.elapsed() < GOODBYE * 2);
    drop(silent);
    silent_task.await.unwrap();
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadlines_tick_on_time() {
    let world = World::new();
    let (stream, _task, _) = world.connect(BUFFER);
    let mut client = Client::new(stream);
    let begin = tokio::time::Instant::now();
    client.send("tick 60000\n").await;
    for n in 1..=3u32 {
        // Much longer than any patience of the tests, by a clock that jumps when all sleep.
        let mut line = String::new();
        client.0.read_line(&mut line).await.unwrap();
        assert_eq!(line, "tick\n");
        let late = begin.elapsed() - Duration::from_secs(60) * n;
        assert!(late < Duration::from_millis(100), "{late:?} late");
    }
    assert_eq!(client.asks("tick 5000\necho sooner\n").await, "sooner");
    let begin = tokio::time::Instant::now();
    assert_eq!(client.line().await, "tick");
    assert!(begin.elapsed() < Duration::from_secs(6), "an earlier deadline counts at once");
}

#[tokio::test]
async fn tls_where_none_is_spoken_is_told_so() {
    let world = World::new();
    let (mut stream, task, _) = world.connect(BUFFER);
    stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
    drop(stream);
    task.await.unwrap();
    assert_eq!(world.counters.failed_handshakes.read(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_bytes_arrive_the_answers_are_the_same(
        words in prop::collection::vec("[a-z]{0,40}", 1..60),
        cuts in prop::collection::vec(1usize..50, 1..30),
        buffer in 1usize..300,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let expected: String = words.iter().map(|word| format!("{word}\n")).collect();
        let sent: String = words.iter().map(|word| format!("echo {word}\n")).chain(["bye\n".into()]).collect();
        let got = runtime.block_on(async {
            let world = World::new();
            let (stream, _task, _) = world.connect(buffer);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let writing = tokio::spawn(async move {
                let mut rest = sent.as_bytes();
                for cut in cuts.iter().cycle() {
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    writer.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                writer
            });
            let mut got = String::new();
            reader.read_to_string(&mut got).await.unwrap();
            drop(writing.await.unwrap());
            got
        });
        prop_assert_eq!(got, expected + "bye\n");
    }
}
