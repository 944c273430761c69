//! Commands about the connection: who it is, which version it speaks, which database it uses.

use baton_dialect::Output;
use baton_model::list::ListOp;
use baton_model::{Bytes, Name, Refusal, Reply, Request, Token};

use super::answers::Expected;
use super::{Phase, RespSession};
use crate::commands::{self, Shape};
use crate::reply::{Protocol, Writer};

impl RespSession {
    pub(super) fn ping(&mut self, a: &[&[u8]], out: &mut Output) {
        if a.len() > 2 {
            return self.refuse(out, "ERR wrong number of arguments for 'ping' command");
        }
        let subscribed = self.protocol == Protocol::Resp2 && self.subscriptions.count() > 0;
        self.say(out, |w| match a.get(1) {
            text if subscribed => {
                w.array(2);
                w.bulk(b"pong");
                w.bulk(text.copied().unwrap_or_default());
            }
            Some(text) => w.bulk(text),
            None => w.simple("PONG"),
        });
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    pub(super) fn hello(&mut self, a: &[&[u8]], out: &mut Output) {
        let protocol = match a.get(1).copied() {
            None => self.protocol,
            Some(b"2") => Protocol::Resp2,
            Some(b"3") => Protocol::Resp3,
            Some(_) => return self.refuse(out, "NOPROTO unsupported protocol version"),
        };
        let mut login = None;
        let mut name = None;
        let mut options = a.get(2..).unwrap_or_default();
        loop {
            options = match options {
                [] => break,
                [word, user, password, rest @ ..] if word.eq_ignore_ascii_case(b"AUTH") => {
                    login = Some((*user, *password));
                    rest
                }
                [word, given, rest @ ..] if word.eq_ignore_ascii_case(b"SETNAME") => {
                    name = Some(given.to_vec());
                    rest
                }
                _ => return self.refuse(out, "ERR Syntax error in HELLO option"),
            };
        }
        if login.is_none() && self.phase != Phase::Open {
            return self.refuse(out, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time");
        }
        self.protocol = protocol;
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        match login {
            Some((user, password)) => self.log_in(user, password, true, out),
            None => {
                let greeting = self.greeting();
                self.say(out, |w| greet(w, &greeting));
            }
        }
    }

    fn greeting(&self) -> (String, u64, &'static str) {
        let protocol = if self.protocol == Protocol::Resp3 { "3" } else { "2" };
        (self.context.version.to_owned(), self.id(), protocol)
    }

    /// A number that no other connection is likely to have: there is no list of connections to count in.
    fn id(&self) -> u64 {
        self.context.entropy >> 16
    }

    pub(super) fn auth(&mut self, a: &[&[u8]], out: &mut Output) {
        match a {
            [_, password] => self.log_in(b"default", password, false, out),
            [_, user, password] => self.log_in(user, password, false, out),
            _ => self.refuse(out, "ERR syntax error"),
        }
    }

    /// Redis's user `default` is the one who need not say who it is.
    fn log_in(&mut self, user: &[u8], password: &[u8], greet: bool, out: &mut Output) {
        let user = match (&self.options.anonymous, user) {
            (Some((anonymous, _)), b"default") => anonymous.clone(),
            _ => Name::from_utf8_lossy(user),
        };
        let token = self.answers.expect(Expected::Login(greet));
        self.holding = Some(token);
        let password = Bytes::copy_from_slice(password);
        out.requests.push(Request::Authenticate { token, user, password });
    }

    pub(super) fn logged_in(
        &mut self,
        token: Token,
        greets: bool,
        result: Result<Reply, Refusal>,
        out: &mut Output,
    ) {
        match result {
            Ok(Reply::Authenticated { user }) => {
                self.user = user;
                self.write(
                    token,
                    out,
                    |session, w| {
                        if greets { greet(w, &session.greeting()) } else { w.simple("OK") }
                    },
                );
                if self.phase != Phase::Open {
                    self.open(Expected::Silent, out);
                }
            }
            Ok(_) => self.write(token, out, |_, w| w.simple("OK")),
            Err(refusal) => self.write(token, out, |_, w| w.error(&commands::error(&refusal))),
        }
    }

    pub(super) fn select(&mut self, a: &[&[u8]], out: &mut Output) {
        let number = match commands::integer(a.get(1).copied().unwrap_or_default()) {
            Ok(number) => number,
            Err(text) => return self.refuse(out, &text),
        };
        let index = usize::try_from(number).ok().filter(|index| *index < self.options.databases.len());
        let Some(index) = index else { return self.refuse(out, "ERR DB index is out of range") };
        if self.subscriptions.count() > 0 {
            return self.refuse(out, "ERR SELECT while subscribed is not possible here: unsubscribe first");
        }
        let before = std::mem::replace(&mut self.database, index);
        self.open(Expected::Selected(before), out);
    }

    /// Every database in turn, then back to the chosen one.
    pub(super) fn flush_all(&mut self, out: &mut Output) {
        let chosen = self.database;
        for index in 0..self.options.databases.len() {
            if index != chosen {
                self.database = index;
                self.open(Expected::Silent, out);
                let token = self.answers.expect(Expected::Silent);
                let op = ListOp::DeleteAll;
                let request = baton_model::list::ListRequest { token, link: super::LINK, op, wait_ms: None };
                out.requests.push(Request::List(request));
            }
        }
        self.database = chosen;
        self.open(Expected::Silent, out);
        self.ask(ListOp::DeleteAll, Shape::Ok, None, out);
    }

    pub(super) fn reset(&mut self, out: &mut Output) {
        self.transaction = super::transaction::Transaction::default();
        self.forget_subscriptions(out);
        self.protocol = Protocol::Resp2;
        self.name.clear();
        if self.database != 0 && self.phase == Phase::Open {
            self.database = 0;
            self.open(Expected::Silent, out);
        }
        self.say(out, |w| w.simple("RESET"));
    }

    pub(super) fn client(&mut self, a: &[&[u8]], out: &mut Output) {
        let word = a.get(1).copied().unwrap_or_default().to_ascii_uppercase();
        match (word.as_slice(), a.get(2..).unwrap_or_default()) {
            (b"ID", []) => {
                let id = self.id();
                self.say(out, |w| w.count(id));
            }
            (b"SETNAME", [name]) => {
                if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
                    return self.refuse(out, "ERR Client names cannot contain spaces, newlines or special characters.");
                }
                self.name = name.to_vec();
                self.say(out, |w| w.simple("OK"));
            }
            (b"GETNAME", []) => {
                let name = self.name.clone();
                self.say(out, |w| if name.is_empty() { w.null() } else { w.bulk(&name) });
            }
            (b"SETINFO", [what, value]) => {
                match what.to_ascii_uppercase().as_slice() {
                    b"LIB-NAME" => self.library[0] = value.to_vec(),
                    b"LIB-VER" => self.library[1] = value.to_vec(),
                    _ => return self.refuse(out, "ERR Unrecognized option"),
                }
                self.say(out, |w| w.simple("OK"));
            }
            (b"INFO", []) | (b"LIST", _) => {
                let line = self.client_line();
                self.say(out, |w| w.bulk(line.as_bytes()));
            }
            (b"NO-EVICT" | b"NO-TOUCH", [_]) => self.say(out, |w| w.simple("OK")),
            (b"KILL", filters) => self.kill(filters, out),
            (b"TRACKING" | b"TRACKINGINFO" | b"CACHING" | b"GETREDIR", _) => self.refuse(
                out,
                "ERR CLIENT TRACKING is not supported: turn client-side caching off in the client's options; see docs/features/redis.md",
            ),
            (b"GETNAME" | b"ID" | b"INFO" | b"NO-EVICT" | b"NO-TOUCH" | b"SETINFO" | b"SETNAME", _) => {
                let word = String::from_utf8_lossy(&word).to_ascii_lowercase();
                self.refuse(out, &format!("ERR wrong number of arguments for 'client|{word}' command"));
            }
            _ => {
                let shown = String::from_utf8_lossy(word.get(..word.len().min(128)).unwrap_or_default());
                self.refuse(
                    out,
                    &format!("ERR unknown subcommand '{shown}': CLIENT has GETNAME, ID, INFO, KILL, LIST, NO-EVICT, NO-TOUCH, SETINFO and SETNAME here"),
                );
            }
        }
    }

    /// A session knows no connection but its own.
    fn kill(&mut self, filters: &[&[u8]], out: &mut Output) {
        let (id, peer) = (self.id().to_string(), self.context.peer.clone());
        match filters {
            [address] if *address == peer.as_bytes() => self.say(out, |w| w.simple("OK")),
            [_] => return self.refuse(out, "ERR No such client"),
            [word, value] => {
                let own = match word.to_ascii_uppercase().as_slice() {
                    b"ID" => *value == id.as_bytes(),
                    b"ADDR" => *value == peer.as_bytes(),
                    b"USER" => *value == self.user.as_bytes(),
                    _ => return self.refuse(out, "ERR syntax error"),
                };
                self.say(out, |w| w.integer(i64::from(own)));
                if !own {
                    return;
                }
            }
            _ => return self.refuse(out, "ERR syntax error"),
        }
        self.close(out);
    }

    /// All fields that Redis 7.2 has: clients look some of them up without asking whether they are there. What is not known here
    /// (descriptors, ages, sizes of buffers) is 0.
    fn client_line(&self) -> String {
        let (channels, patterns) = self.subscriptions.counts();
        let flags = if channels + patterns > 0 { "P" } else { "N" };
        format!(
            "id={} addr={} laddr= fd=0 name={} age=0 idle=0 flags={flags} db={} sub={channels} psub={patterns} ssub=0 multi=-1 watch=0 \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd=client user={} redir=-1 \
             resp={} lib-name={} lib-ver={}\n",
            self.id(),
            self.context.peer,
            String::from_utf8_lossy(&self.name),
            self.database,
            self.user,
            self.greeting().2,
            String::from_utf8_lossy(&self.library[0]),
            String::from_utf8_lossy(&self.library[1]),
        )
    }
}

fn greet(w: &mut Writer<'_>, (version, id, protocol): &(String, u64, &'static str)) {
    w.map(8);
    w.bulk(b"server");
    w.bulk(b"redis");
    w.bulk(b"version");
    w.bulk(super::server::REDIS_VERSION.as_bytes());
    w.bulk(b"baton_version");
    w.bulk(version.as_bytes());
    w.bulk(b"proto");
    w.integer(if *protocol == "3" { 3 } else { 2 });
    w.bulk(b"id");
    w.count(*id);
    w.bulk(b"mode");
    w.bulk(b"standalone");
    w.bulk(b"role");
    w.bulk(b"master");
    w.bulk(b"modules");
    w.array(0);
}
