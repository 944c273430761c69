//! The session alone: what it asks for, and in which order it answers.

use baton_model::list::{Listed, Popped};
use baton_model::{Message, Refusal, RefusalCode};

use super::*;

fn context() -> SessionContext {
    SessionContext {
        peer: "127.0.0.1:1".into(),
        loopback: true,
        encrypted: false,
        entropy: 7 << 16,
        message_bytes_max: 1 << 20,
        version: "0",
    }
}

struct Client {
    session: RespSession,
    out: Output,
}

impl Client {
    /// A client that is logged in.
    fn new() -> Self {
        let mut client =
            Self { session: RespSession::new(context(), SessionOptions::default()), out: Output::default() };
        client.send("PING\r\n");
        let Some(Request::Authenticate { token, .. }) = client.out.requests.pop() else { panic!("no login") };
        client.reply(token, Ok(Reply::Authenticated { user: "guest".into() }));
        let Some(Request::Open { token, .. }) = client.out.requests.pop() else { panic!("no namespace") };
        client.reply(token, Ok(Reply::Opened));
        assert_eq!(client.wire(), "+PONG\r\n");
        client
    }

    fn send(&mut self, text: &str) {
        let mut input = BytesMut::from(text);
        self.session.receive(Time(1_000), &mut input, &mut self.out);
    }

    fn reply(&mut self, token: Token, result: Result<Reply, Refusal>) {
        self.session.event(Time(1_000), Event::Reply { token, result }, &mut self.out);
    }

    fn listed(&mut self, token: Token, listed: Listed) {
        self.reply(token, Ok(Reply::Listed(listed)));
    }

    fn wire(&mut self) -> String {
        String::from_utf8(self.out.wire.split().to_vec()).unwrap()
    }

    fn tokens(&mut self) -> Vec<Token> {
        let requests = self.out.requests.drain(..);
        let token = |request| match request {
            Request::List(list) => list.token,
            Request::ListGroup(group) => group.token,
            other => panic!("{other:?}"),
        };
        requests.map(token).collect()
    }
}

#[test]
fn answers_come_in_the_order_of_the_commands_whichever_is_known_first() {
    let mut client = Client::new();
    client.send("LLEN a\r\nPING\r\nLLEN b\r\nECHO x\r\n");
    let tokens = client.tokens();
    assert_eq!(client.wire(), "");
    client.listed(tokens[1], Listed::Count(2));
    assert_eq!(client.wire(), "");
    client.listed(tokens[0], Listed::Count(1));
    assert_eq!(client.wire(), ":1\r\n+PONG\r\n:2\r\n$1\r\nx\r\n");
}

#[test]
fn a_command_that_waits_holds_back_what_is_not_about_lists() {
    let mut client = Client::new();
    client.send("BLPOP a 0\r\nLLEN a\r\nTIME\r\nLLEN b\r\nPI");
    client.send("NG\r\n");
    let tokens = client.tokens();
    assert_eq!(tokens.len(), 2, "the second stands behind the first in the partition");
    client.listed(tokens[0], Listed::Absent);
    assert_eq!(client.wire(), "*-1\r\n");
    let later = client.tokens();
    client.listed(later[0], Listed::Count(1));
    assert_eq!(client.wire(), "", "in the order of the commands");
    client.listed(tokens[1], Listed::Count(0));
    assert_eq!(client.wire(), ":0\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n:1\r\n+PONG\r\n");
}

#[test]
fn not_too_much_stands_behind_a_command_that_waits() {
    let mut client = Client::new();
    client.send("BLPOP a 0\r\n");
    client.send(&"LLEN a\r\n".repeat(BEHIND_MAX));
    let tokens = client.tokens();
    assert_eq!(tokens.len(), BEHIND_MAX);
    client.listed(tokens[0], Listed::Absent);
    assert_eq!(client.tokens().len(), 1, "there is room again");
    let mut client = Client::new();
    client.send(&format!("BLPOP a 0\r\nLPUSH b {}\r\n", "x".repeat(BEHIND_BYTES_MAX)));
    let tokens = client.tokens();
    assert_eq!(tokens.len(), 1, "a large one is held");
    client.listed(tokens[0], Listed::Absent);
    assert_eq!(client.tokens().len(), 1);
}

#[test]
fn leases_of_popped_elements_are_settled_by_the_next_command() {
    let mut client = Client::new();
    client.send("LPOP a\r\n");
    let tokens = client.tokens();
    let leases = [DeliveryRef {
        queue: baton_model::QueueId(1),
        seq: baton_model::Seq(1),
        fence: baton_model::Fence(1),
    }];
    let elements = std::iter::once(Message::new(Bytes::from_static(b"x"), 0)).collect();
    client.listed(tokens[0], Listed::Popped(Popped { queue: "a".into(), elements, leases: leases.into() }));
    assert_eq!(client.wire(), "$1\r\nx\r\n");
    client.send("PING\r\n");
    assert!(matches!(client.out.requests.as_slice(), [Request::Settle(_)]));
}

#[test]
fn a_command_that_came_before_an_answer_settles_nothing() {
    let mut client = Client::new();
    client.send("BLPOP a 0\r\nBLPOP a 0\r\n");
    for (at, token) in client.tokens().into_iter().enumerate() {
        let lease = DeliveryRef {
            queue: baton_model::QueueId(1),
            seq: baton_model::Seq(at as u64),
            fence: baton_model::Fence(1),
        };
        let elements = std::iter::once(Message::new(Bytes::from_static(b"x"), 0)).collect();
        let popped = Popped { queue: "a".into(), elements, leases: [lease].into() };
        client.listed(token, Listed::Popped(popped));
    }
    assert!(client.out.requests.is_empty(), "its client may not have read the answers yet");
    client.send("PING\r\n");
    let [Request::Settle(settle)] = client.out.requests.as_slice() else { panic!("not settled") };
    assert_eq!(settle.deliveries.len(), 2);
}

#[test]
fn transactions_are_one_request_and_spoilt_ones_none() {
    let mut client = Client::new();
    client.send("MULTI\r\nLPUSH a x\r\nPING\r\nBLPOP a 0\r\nEXEC\r\n");
    let tokens = client.tokens();
    assert_eq!(tokens.len(), 1);
    client.listed(tokens[0], Listed::All(vec![Ok(Listed::Count(1)), Ok(Listed::Absent)]));
    assert_eq!(client.wire(), "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+PONG\r\n*-1\r\n");
    client.send("MULTI\r\nLPUSH a\r\nEXEC\r\n");
    assert!(client.tokens().is_empty());
    assert!(client.wire().ends_with("-EXECABORT Transaction discarded because of previous errors.\r\n"));
}

#[test]
fn what_is_not_there_says_where_to_read_about_it() {
    let mut client = Client::new();
    client.send("HSET a b c\r\nNONSENSE a\r\nLPUSH a\r\n*1\r\nx\r\n");
    let wire = client.wire();
    assert!(wire.contains("not hashes; see docs/features/redis.md"), "{wire}");
    assert!(wire.contains("unknown command 'NONSENSE'"), "{wire}");
    assert!(wire.contains("wrong number of arguments for 'lpush'"), "{wire}");
    assert!(wire.contains("Protocol error"), "{wire}");
    assert!(client.out.close);
}

#[test]
fn a_client_that_asks_for_a_cluster_or_for_tracking_hears_what_it_looks_for() {
    let mut client = Client::new();
    client.send("CLUSTER SLOTS\r\nREADONLY\r\n");
    assert_eq!(client.wire(), "-ERR This instance has cluster support disabled\r\n".repeat(2));
    client.send("CLIENT TRACKING ON OPTIN\r\n");
    assert!(client.wire().contains("turn client-side caching off"));
    client.send("CLIENT ID x\r\nCLIENT PAUSE 1\r\n");
    let wire = client.wire();
    assert!(wire.starts_with("-ERR wrong number of arguments for 'client|id' command\r\n"), "{wire}");
    assert!(wire.contains("unknown subcommand 'PAUSE'"), "{wire}");
}

#[test]
fn client_info_has_every_field_that_clients_look_up() {
    let mut client = Client::new();
    client.send("CLIENT INFO\r\n");
    let wire = client.wire();
    let fields: Vec<&str> =
        wire.split_whitespace().skip(1).filter_map(|field| Some(field.split_once('=')?.0)).collect();
    let known = "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem \
                 tot-mem events cmd user redir resp lib-name lib-ver";
    assert_eq!(fields, known.split(' ').collect::<Vec<_>>());
}

#[test]
fn without_an_anonymous_user_everybody_logs_in() {
    let options = SessionOptions { anonymous: None, ..SessionOptions::default() };
    let mut client = Client { session: RespSession::new(context(), options), out: Output::default() };
    client.send("LLEN a\r\nAUTH ann wrong\r\n");
    let Some(Request::Authenticate { token, .. }) = client.out.requests.pop() else { panic!("no login") };
    client.reply(token, Err(Refusal::new(RefusalCode::AuthenticationFailed, "no")));
    let wire = client.wire();
    assert!(wire.starts_with("-NOAUTH") && wire.contains("-WRONGPASS"), "{wire}");
}

/// The largest element that these sessions take, which is also large enough not to be copied.
fn large_command(words: &[&str]) -> (Vec<u8>, usize) {
    let mut command = format!("*{}\r\n", words.len() + 1).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    command.extend_from_slice(b"$1048576\r\n");
    let body_at = command.len();
    command.resize(body_at + (1 << 20), b'L');
    command.extend_from_slice(b"\r\n");
    (command, body_at)
}

#[test]
fn a_large_element_becomes_a_message_where_it_lies() {
    for words in
        [&["LPUSH", "q"][..], &["RPUSHX", "q", "small"], &["LSET", "q", "0"], &["LINSERT", "q", "AFTER", "x"]]
    {
        for transaction in [false, true] {
            let mut client = Client::new();
            let (command, body_at) = large_command(words);
            if transaction {
                client.send("MULTI\r\n");
            }
            let mut input = BytesMut::from(&command[..1_000]);
            client.session.receive(Time(1_000), &mut input, &mut client.out);
            assert_eq!((input.len(), client.session.awaited_bytes()), (1_000, command.len()));
            let mut whole = BytesMut::with_capacity(command.len() + 6);
            whole.extend_from_slice(&command);
            whole.extend_from_slice(b"EXEC\r\n");
            let place = whole[body_at..].as_ptr();
            client.session.receive(Time(1_000), &mut whole, &mut client.out);
            assert!(whole.is_empty() && client.session.awaited_bytes() == 0);
            let op = match client.out.requests.pop() {
                Some(Request::List(list)) => list.op,
                Some(Request::ListGroup(mut group)) => group.ops.pop().unwrap(),
                other => panic!("{other:?}"),
            };
            let message = match op {
                ListOp::Push { messages, .. } => messages.last().unwrap().clone(),
                ListOp::Set { message, .. } | ListOp::Insert { message, .. } => message,
                other => panic!("{other:?}"),
            };
            assert_eq!((message.body_slice().len(), message.body_slice().as_ptr()), (1 << 20, place));
            assert!(message.body_slice().iter().all(|byte| *byte == b'L'));
            assert_eq!(message.envelope().str(baton_model::Tag::Key), Some("q"));
        }
    }
}

#[test]
fn large_commands_that_bring_nothing_or_are_wrong_are_answered_as_small_ones() {
    let mut client = Client::new();
    for (words, answer) in [
        (&["GET"][..], "-ERR "),
        (&["LPUSH"], "-ERR wrong number"),
        (&["LSET", "q", "x"], "-ERR value is not"),
    ] {
        let (command, _) = large_command(words);
        client.send(std::str::from_utf8(&command).unwrap());
        let wire = client.wire();
        assert!(wire.starts_with(answer) && client.out.requests.is_empty(), "{words:?} {wire}");
    }
    let (command, _) = large_command(&["LREM", "q", "0"]);
    client.send(std::str::from_utf8(&command).unwrap());
    let Some(Request::List(list)) = client.out.requests.pop() else { panic!("a removal") };
    assert!(matches!(&list.op, ListOp::Remove { value, .. } if value.len() == 1 << 20));
}

#[test]
fn a_large_answer_keeps_its_place_behind_an_earlier_one() {
    let mut client = Client::new();
    client.send("LLEN a\r\nLINDEX a 0\r\nPING\r\n");
    let tokens = client.tokens();
    let element = Message::new(vec![b'x'; 1 << 20].into(), 0);
    client.listed(tokens[1], Listed::Element(element.clone()));
    assert_eq!((client.wire().as_str(), client.out.attached.len()), ("", 0));
    client.listed(tokens[0], Listed::Count(1));
    let attached = client.out.attached.pop().unwrap();
    assert_eq!(
        (attached.behind, attached.bytes.as_ptr()),
        (":1\r\n$1048576\r\n".len(), element.body_slice().as_ptr())
    );
    assert_eq!(client.wire(), ":1\r\n$1048576\r\n\r\n+PONG\r\n");
}

#[test]
fn an_element_over_the_limit_is_a_protocol_error_that_ends_the_connection() {
    let mut client = Client::new();
    client.send("*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$1048577\r\n");
    assert_eq!(client.wire(), "-ERR Protocol error: invalid bulk length\r\n");
    assert!(client.out.close && client.out.requests.is_empty());
}
