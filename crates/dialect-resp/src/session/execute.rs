//! One command: is it known, has it the right number of arguments, may it come now, and who does it.

use baton_dialect::Output;
use baton_model::list::ListOp;
use baton_model::{Request, Time};

use super::answers::Expected;
use super::{Phase, RespSession};
use crate::commands;
use crate::reply::Protocol;
use crate::table::{Command, Spec, find};

/// Longest name of a command that is looked up, bytes.
const NAME_BYTES: usize = 32;

/// Commands of Redis for what is not a list, a few of each kind, so that they get a better answer than that they are unknown.
const ELSEWHERE: [(&str, &str); 9] = [
    (
        "get set setnx setex psetex getset getdel getex append incr incrby incrbyfloat decr decrby mget mset msetnx strlen setrange getrange \
         substr lcs",
        "strings",
    ),
    (
        "hset hget hgetall hdel hmset hmget hexists hkeys hvals hlen hincrby hincrbyfloat hsetnx hscan hstrlen hrandfield hexpire hpexpire \
         httl hpttl hpersist hgetdel hgetex hsetex",
        "hashes",
    ),
    (
        "sadd srem smembers sismember smismember scard spop smove srandmember sunion sunionstore sinter sinterstore sintercard sdiff \
         sdiffstore sscan",
        "sets",
    ),
    (
        "zadd zrem zrange zrangebyscore zrangebylex zrangestore zcard zscore zmscore zrank zrevrank zpopmin zpopmax bzpopmin bzpopmax zmpop \
         bzmpop zrevrange zrevrangebyscore zrevrangebylex zremrangebyscore zremrangebyrank zremrangebylex zcount zlexcount zincrby \
         zrandmember zunion zunionstore zinter zinterstore zintercard zdiff zdiffstore zscan",
        "sorted sets",
    ),
    (
        "xadd xread xreadgroup xack xlen xrange xrevrange xgroup xdel xtrim xclaim xautoclaim xinfo xpending xsetid",
        "streams",
    ),
    ("eval evalsha script fcall function eval_ro evalsha_ro fcall_ro", "scripts"),
    (
        "pfadd pfcount pfmerge setbit getbit bitcount bitop bitpos bitfield bitfield_ro geoadd geodist geohash geopos georadius \
         georadiusbymember geosearch geosearchstore",
        "other types",
    ),
    ("sort sort_ro dump restore copy move migrate randomkey swapdb", "this key command"),
    (
        "ssubscribe sunsubscribe spublish replicaof slaveof psync save bgsave bgrewriteaof monitor acl debug slowlog latency memory module shutdown",
        "this server command",
    ),
];

impl RespSession {
    /// The command of that name. Most clients ask for the same one again and again.
    pub(super) fn spec(&mut self, name: &[u8]) -> Option<&'static Spec> {
        let same = |spec: &&Spec| spec.name.as_bytes().eq_ignore_ascii_case(name);
        let found = self.recent.filter(same).or_else(|| lookup(name));
        self.recent = found.or(self.recent);
        found
    }

    /// `spec`: of the command that the first argument names, if there is one.
    pub(super) fn execute(&mut self, now: Time, spec: Option<&Spec>, a: &[&[u8]], out: &mut Output) {
        let Some(spec) = spec else {
            self.transaction.spoil();
            let text = unknown(a.first().copied().unwrap_or_default(), a.get(1..).unwrap_or_default());
            return self.refuse(out, &text);
        };
        if let Err(text) = self.allowed(spec, a) {
            self.transaction.spoil();
            return self.refuse(out, &text);
        }
        if self.transaction.is_open() && !transaction_command(spec.command) {
            return self.queue(now, spec.command, a, out);
        }
        match commands::read(now, spec.command, a) {
            Some(Ok(ask)) => self.ask(ask.op, ask.shape, ask.wait_ms, out),
            Some(Err(text)) => self.refuse(out, &text),
            None => self.command(now, spec.command, a, out),
        }
    }

    fn allowed(&self, spec: &Spec, a: &[&[u8]]) -> Result<(), String> {
        let given = i32::try_from(a.len()).unwrap_or(i32::MAX);
        let enough = if spec.arity < 0 { given >= -spec.arity } else { given == spec.arity };
        if !enough {
            return Err(format!("ERR wrong number of arguments for '{}' command", spec.name));
        }
        let always = matches!(spec.command, Command::Auth | Command::Hello | Command::Quit | Command::Reset);
        if self.phase != Phase::Open && !always {
            return Err("NOAUTH Authentication required.".into());
        }
        let in_subscription = matches!(
            spec.command,
            Command::Subscribe
                | Command::Psubscribe
                | Command::Unsubscribe
                | Command::Punsubscribe
                | Command::Ping
                | Command::Quit
                | Command::Reset
        );
        if self.protocol == Protocol::Resp2 && self.subscriptions.count() > 0 && !in_subscription {
            return Err(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                spec.name
            ));
        }
        Ok(())
    }

    /// The commands that are not operations on lists.
    fn command(&mut self, now: Time, command: Command, a: &[&[u8]], out: &mut Output) {
        match command {
            Command::Ping => self.ping(a, out),
            Command::Echo => self.say(out, |w| w.bulk(a.get(1).copied().unwrap_or_default())),
            Command::Hello => self.hello(a, out),
            Command::Auth => self.auth(a, out),
            Command::Select => self.select(a, out),
            Command::Quit => {
                self.say(out, |w| w.simple("OK"));
                self.close(out);
            }
            Command::Reset => self.reset(out),
            Command::Client => self.client(a, out),
            Command::Command => self.command_command(a, out),
            Command::Config => self.config(a, out),
            Command::Info => {
                let token = self.answers.expect(Expected::Info);
                let request = baton_model::list::ListRequest {
                    token,
                    link: super::LINK,
                    op: ListOp::CountAll,
                    wait_ms: None,
                };
                out.requests.push(Request::List(request));
            }
            Command::Time => self.say(out, |w| {
                w.array(2);
                w.bulk((now.0 / 1000).to_string().as_bytes());
                w.bulk((now.0 % 1000 * 1000).to_string().as_bytes());
            }),
            Command::Wait => self.say(out, |w| w.integer(0)),
            Command::Flushdb => self.ask(ListOp::DeleteAll, commands::Shape::Ok, None, out),
            Command::Flushall => self.flush_all(out),
            Command::Subscribe => self.subscribe(a, false, out),
            Command::Psubscribe => self.subscribe(a, true, out),
            Command::Unsubscribe => self.unsubscribe(a, false, out),
            Command::Punsubscribe => self.unsubscribe(a, true, out),
            Command::Publish => match self.publish(a) {
                Ok(op) => self.ask(op, commands::Shape::Count, None, out),
                Err(text) => self.refuse(out, &text),
            },
            Command::Pubsub => self.pubsub(a, out),
            Command::Multi => self.multi(out),
            Command::Exec => self.exec(out),
            Command::Discard => self.discard(out),
            Command::Watch => self.watch(a, out),
            Command::Unwatch => {
                self.transaction.unwatch();
                self.say(out, |w| w.simple("OK"));
            }
            _ => self.refuse(out, "ERR this command is not served; see docs/features/redis.md"),
        }
    }
}

/// The command of that name, in whatever case.
fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; NAME_BYTES];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    find(lower)
}

fn transaction_command(command: Command) -> bool {
    matches!(
        command,
        Command::Multi | Command::Exec | Command::Discard | Command::Watch | Command::Quit | Command::Reset
    )
}

/// What a server says that is no part of a cluster, word for word: clients look for it, and some go on without one.
const NO_CLUSTER: &str = "ERR This instance has cluster support disabled";

/// The error for a command that is not served.
fn unknown(name: &[u8], arguments: &[&[u8]]) -> String {
    let shown = String::from_utf8_lossy(name.get(..name.len().min(128)).unwrap_or_default()).into_owned();
    let lower = shown.to_ascii_lowercase();
    if matches!(lower.as_str(), "cluster" | "readonly" | "readwrite" | "asking") {
        return NO_CLUSTER.into();
    }
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.split(' ').any(|known| known == lower));
    if let Some((_, what)) = elsewhere {
        return format!(
            "ERR '{shown}' is not supported: Baton serves lists and pub/sub over the Redis protocol, not {what}; see docs/features/redis.md"
        );
    }
    let mut text = format!("ERR unknown command '{shown}', with args beginning with: ");
    for argument in arguments.iter().take(20) {
        let argument = argument.get(..argument.len().min(128)).unwrap_or_default();
        text.push_str(&format!("'{}' ", String::from_utf8_lossy(argument)));
    }
    text
}
