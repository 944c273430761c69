//! However the bytes of a client are cut into reads, the session asks and answers the same.

use std::collections::BTreeMap;

use baton_model::PublishOutcome;
use proptest::prelude::*;

use super::queue as there;
use super::*;
use crate::methods::{confirm, queue, tx};

/// A conversation of many kinds on three channels, with heartbeats between.
fn conversation() -> BytesMut {
    let mut bytes = BytesMut::from(&PROTOCOL_HEADER[..]);
    let mut send = |channel, method: Method| write_any_method(&mut bytes, channel, &method);
    send(0, start_ok(b"\0guest\0guest", &["consumer_cancel_notify"]).into());
    send(0, connection::TuneOk { channel_max: 0, frame_max: 0, heartbeat: 60 }.into());
    send(0, connection::Open { virtual_host: short("/"), ..Default::default() }.into());
    for number in 1..=3 {
        send(number, channel::Open::default().into());
    }
    send(1, confirm::Select { no_wait: false }.into());
    send(1, queue::Declare { queue: short("q"), durable: true, ..Default::default() }.into());
    send(2, basic::Consume { queue: short("q"), consumer_tag: short("t"), ..Default::default() }.into());
    send(2, tx::Select.into());
    for size in [0, 10, 9000] {
        let publish = basic::Publish { routing_key: short("q"), mandatory: true, ..Default::default() };
        let headers = FieldTable::new().with("k", "v").encode();
        let properties = Properties { headers: Some(headers.as_table()), ..Default::default() };
        write_content(&mut bytes, 1, 4096, &publish, &properties.encode(), &vec![b'x'; size]).unwrap();
        crate::frame::write_heartbeat(&mut bytes);
    }
    let mut send = |channel, method: Method| write_any_method(&mut bytes, channel, &method);
    send(2, basic::Get { queue: short("q"), ..Default::default() }.into());
    send(2, tx::Commit.into());
    send(3, basic::Ack { delivery_tag: 77, multiple: false }.into());
    send(3, basic::Qos::default().into());
    send(1, basic::Qos::default().into());
    bytes
}

/// Feeds it in reads of these sizes, with an engine that answers everything at once; what was written
/// on each channel (those are independent of each other), and what was asked.
fn run(bytes: &[u8], reads: &[usize]) -> (BTreeMap<u16, Vec<Bytes>>, Vec<String>) {
    let mut session = AmqpSession::new(context(), SessionOptions::default());
    let (mut input, mut wire, mut asked) = (BytesMut::new(), BytesMut::new(), Vec::new());
    let mut rest = bytes;
    let mut sizes = reads.iter().copied().cycle();
    while !rest.is_empty() {
        let (read, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = after;
        input.extend_from_slice(read);
        let mut out = Output::default();
        session.receive(Time(1), &mut input, &mut out);
        while !out.requests.is_empty() {
            for request in std::mem::take(&mut out.requests) {
                asked.push(format!("{request:?}"));
                if let Some(event) = answer(&request) {
                    session.event(Time(1), event, &mut out);
                }
            }
        }
        wire.extend_from_slice(&out.wire);
        out.wire.clear();
    }
    let mut out = Output::default();
    session.flush(Time(1), &mut out);
    wire.extend_from_slice(&out.wire);
    let mut written: BTreeMap<u16, Vec<Bytes>> = BTreeMap::new();
    // In byte soup the header of the protocol may be all there is.
    if !wire.starts_with(PROTOCOL_HEADER)
        && let Some(batch) = FrameDecoder::new(0).batch(&mut wire).unwrap()
    {
        for frame in &batch {
            written.entry(frame.channel).or_default().push(frame.payload.to_shared());
        }
    }
    (written, asked)
}

fn answer(request: &Request) -> Option<Event> {
    let reply = match request {
        Request::Authenticate { user, .. } => Reply::Authenticated { user: user.clone() },
        Request::Open { .. } => Reply::Opened,
        Request::Catalog { .. } => there("q", QueuePolicy::default(), true),
        Request::Subscribe(subscribe) => Reply::Subscribed { consumer: subscribe.consumer, session: None },
        Request::Group { .. } => Reply::Done,
        Request::Publish(publish) => {
            let outcome = PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues: 1 };
            return Some(Event::Published { token: publish.token, outcome });
        }
        Request::Fetch(fetch) => {
            let nothing = baton_model::event::Fetched::default();
            return Some(Event::Fetched { token: fetch.token, result: Ok(nothing) });
        }
        _ => return None,
    };
    Some(Event::Reply { token: token_of(request), result: Ok(reply) })
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same(reads in prop::collection::vec(1..600_usize, 1..40)) {
        let bytes = conversation();
        prop_assert!(run(&bytes, &reads) == run(&bytes, &[1]), "differs from reads of one byte");
    }

    #[test]
    fn byte_soup_never_panics(soup in prop::collection::vec(any::<u8>(), 0..300), cut in 0..400_usize) {
        let mut bytes = conversation();
        let at = (cut * 7) % bytes.len();
        bytes.truncate(at);
        bytes.extend_from_slice(&soup);
        run(&bytes, &[64]);
    }
}
