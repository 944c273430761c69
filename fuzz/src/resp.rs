//! Targets for Redis's protocol: commands however they are cut, and written again; the session between a client that says
//! anything and an engine that answers as an engine may.

use baton_dialect::{Output, Session, SessionContext};
use baton_dialect_resp::frame::{Parsed, parse};
use baton_dialect_resp::reply::{Protocol, Writer};
use baton_dialect_resp::{RespSession, SessionOptions};
use baton_model::list::{ListOp, Listed, Popped, Version};
use baton_model::request::Topic;
use baton_model::{
    Bytes, DeliveryRef, Event, Fence, Message, Name, QueueId, Refusal, RefusalCode, Reply, Request, Seq,
    Time, Token,
};
use bytes::BytesMut;

const COMMAND_BYTES_MAX: usize = 2_000;

const CODES: [RefusalCode; 4] =
    [RefusalCode::AccessDenied, RefusalCode::Unsupported, RefusalCode::QueueNotFound, RefusalCode::DiskFull];

/// A command is whole at the same length however much lies behind it, needs more than there is before, and is the same after
/// it was written again.
pub fn frames(data: &[u8]) {
    let mut rest = data;
    loop {
        match parse(rest, COMMAND_BYTES_MAX) {
            Parsed::Command(arguments, length) => {
                assert!(length > 0 && length <= rest.len());
                for end in [0, length / 2, length - 1] {
                    match parse(&rest[..end], COMMAND_BYTES_MAX) {
                        Parsed::Incomplete(need) => assert!(need > end && need <= length),
                        other => panic!("{other:?} before the end of a command"),
                    }
                }
                if !arguments.is_empty() {
                    let mut out = Output::default();
                    let mut writer = Writer::new(&mut out, Protocol::Resp2);
                    writer.array(arguments.len());
                    arguments.iter().for_each(|argument| writer.bulk(argument));
                    let again = out.wire;
                    if again.len() <= COMMAND_BYTES_MAX {
                        let same = match parse(&again, COMMAND_BYTES_MAX) {
                            Parsed::Command(read, length) => {
                                length == again.len() && read.iter().eq(arguments.iter())
                            }
                            _ => false,
                        };
                        assert!(same, "what was written is read otherwise");
                    }
                }
                rest = &rest[length..];
            }
            Parsed::Incomplete(need) => return assert!(need > rest.len()),
            Parsed::Wrong(_) => return,
        }
    }
}

/// The first byte chooses the size of reads and how the engine answers. Everything that is asked is answered, once.
pub fn session(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else { return };
    let context = SessionContext {
        peer: "127.0.0.1:1".into(),
        loopback: true,
        encrypted: false,
        entropy: 1,
        message_bytes_max: COMMAND_BYTES_MAX as u64,
        version: "0",
    };
    let mut session = RespSession::new(context, SessionOptions::default());
    let (mut input, mut out) = (BytesMut::new(), Output::default());
    let mut asked = 0_usize;
    for read in stream.chunks(usize::from(choice % 16) * 8 + 1) {
        input.extend_from_slice(read);
        session.receive(Time(1_000), &mut input, &mut out);
        while !out.requests.is_empty() && !out.close {
            for request in std::mem::take(&mut out.requests) {
                asked += 1;
                let refused = choice & 16 != 0 && asked.is_multiple_of(3);
                if let Some((token, reply)) = answer(request) {
                    let refusal = || Refusal::new(CODES[asked % CODES.len()], "no");
                    let result = if refused { Err(refusal()) } else { Ok(reply) };
                    session.event(Time(2_000), Event::Reply { token, result }, &mut out);
                }
            }
            session.flush(Time(2_000), &mut out);
        }
        if choice & 32 != 0 {
            let heard = Event::Heard {
                topic: Topic::Key("c".into()),
                key: "c".into(),
                message: Message::new(Bytes::from_static(b"x"), 0),
            };
            session.event(Time(2_000), heard, &mut out);
        }
        if out.close {
            return;
        }
        assert!(input.len() <= COMMAND_BYTES_MAX + 200, "the session hoards its input");
        out.wire.clear();
    }
}

fn answer(request: Request) -> Option<(Token, Reply)> {
    Some(match request {
        Request::Authenticate { token, user, .. } => (token, Reply::Authenticated { user }),
        Request::Open { token, .. } => (token, Reply::Opened),
        Request::List(list) => (list.token, Reply::Listed(listed(&list.op))),
        Request::ListGroup(group) => {
            (group.token, Reply::Listed(Listed::All(group.ops.iter().map(|op| Ok(listed(op))).collect())))
        }
        Request::Listen { token, .. } | Request::Unlisten { token, .. } => (token, Reply::Done),
        Request::Listeners { token, .. } => (token, Reply::Listeners(vec![(Topic::Key("c".into()), 1)])),
        _ => return None,
    })
}

fn listed(op: &ListOp) -> Listed {
    let message = || Message::new(Bytes::from_static(b"x"), 0);
    match op {
        ListOp::Pop { queues, count_max, .. } if *count_max > 1 => Listed::Popped(Popped {
            queue: queues.first().cloned().unwrap_or_default(),
            elements: [message(), message()].into_iter().collect(),
            leases: [DeliveryRef { queue: QueueId(1), seq: Seq(1), fence: Fence(1) }].into(),
        }),
        ListOp::Pop { .. } => Listed::Absent,
        ListOp::Move { .. } | ListOp::Index { .. } => Listed::Element(message()),
        ListOp::Range { .. } => Listed::Elements(vec![message()]),
        ListOp::Set { .. } | ListOp::Trim { .. } => Listed::Done,
        ListOp::Find { .. } => Listed::Indexes(vec![0]),
        ListOp::Expiry { .. } => Listed::Expires(Some(Time(5_000))),
        ListOp::Names { .. } => {
            Listed::Names { names: vec![Name::const_new("a"), Name::const_new("b")], next: None }
        }
        ListOp::Versions { queues } => Listed::Versions(vec![Version(1, 1); queues.len()]),
        _ => Listed::Count(1),
    }
}
