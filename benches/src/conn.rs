//! A blocking AMQP connection with one channel: the handshake and the synchronous set-up calls. The hot loops of
//! `producer` and `consumer` take it apart ([`Connection::parts`]) and drive socket and buffer themselves.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{BenchError, During, Result};
use crate::wire::encode::{Method, Table, Value};
use crate::wire::scan::{Event, Fields, Incoming};
use crate::wire::{MethodId, method};

/// The channel that every connection of this crate uses.
pub const CHANNEL: u16 = 1;
/// How long a set-up call may take; declaring many quorum queues is slow.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Frames that we accept; within [`Incoming`]'s buffer.
const FRAME_BYTES_MAX: u32 = 128 * 1024;

/// An open connection with channel [`CHANNEL`] open on it.
pub struct Connection {
    stream: TcpStream,
    incoming: Incoming,
    out: Vec<u8>,
}

/// What queue.declare-ok says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Messages ready to be delivered.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// How a queue is declared; always durable, never exclusive.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueOptions<'a> {
    /// Only ask whether it is there.
    pub passive: bool,
    /// `x-…` arguments.
    pub arguments: Table<'a>,
}

impl Connection {
    /// Connects as guest to vhost `/` and opens the channel.
    ///
    /// # Errors
    /// The socket's, or the server's refusal.
    pub fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).during("connect")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        stream.set_read_timeout(Some(CALL_TIMEOUT)).during("set a read time-out")?;
        stream.set_write_timeout(Some(CALL_TIMEOUT)).during("set a write time-out")?;
        let mut conn = Connection { stream, incoming: Incoming::default(), out: Vec::new() };
        conn.out.extend_from_slice(b"AMQP\x00\x00\x09\x01");
        conn.call(method::CONNECTION_START, |_| ())?;
        let capabilities = [
            ("publisher_confirms", Value::Bool(true)),
            ("basic.nack", Value::Bool(true)),
            ("consumer_cancel_notify", Value::Bool(true)),
            ("authentication_failure_close", Value::Bool(true)),
        ];
        let properties =
            [("product", Value::Text("baton-benches")), ("capabilities", Value::Table(&capabilities))];
        let tune = conn.call(method::CONNECTION_TUNE, |out| {
            Method::begin(out, 0, method::CONNECTION_START_OK)
                .table(&properties)
                .short(b"PLAIN")
                .long(b"\0guest\0guest")
                .short(b"en_US")
                .end();
        })?;
        let mut tune = Fields(&tune);
        let channel_max = tune.u16("connection.tune")?;
        let frame_max = match tune.u32("connection.tune")? {
            0 => FRAME_BYTES_MAX,
            offered => offered.min(FRAME_BYTES_MAX),
        };
        conn.call(method::CONNECTION_OPEN_OK, |out| {
            // Heartbeat 0: a loaded generator on a shared core must not be taken for dead.
            Method::begin(out, 0, method::CONNECTION_TUNE_OK).u16(channel_max).u32(frame_max).u16(0).end();
            Method::begin(out, 0, method::CONNECTION_OPEN).short(b"/").short(b"").u8(0).end();
        })?;
        conn.call(method::CHANNEL_OPEN_OK, |out| {
            Method::begin(out, CHANNEL, method::CHANNEL_OPEN).short(b"").end();
        })?;
        Ok(conn)
    }

    /// Sends what `build` encodes and waits for the answer `expected`; returns its fields.
    /// Confirms that arrive meanwhile are dropped: set-up calls come before the first publish, or on connections of
    /// their own.
    ///
    /// # Errors
    /// [`BenchError::Refused`] when the server closes the channel or connection instead.
    pub fn call(&mut self, expected: MethodId, build: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>> {
        build(&mut self.out);
        write_all(&self.stream, &self.out)?;
        self.out.clear();
        loop {
            while let Some(event) = self.incoming.next_event()? {
                match event {
                    Event::Method { id, args } if id == expected => return Ok(args.to_vec()),
                    other => check_event(&other)?,
                }
            }
            read_some(&mut self.incoming, &self.stream)?;
        }
    }

    /// queue.declare.
    ///
    /// # Errors
    /// See [`Connection::call`]; 404 for a passive declare of a queue that is not there.
    pub fn declare_queue(&mut self, name: &str, options: QueueOptions<'_>) -> Result<QueueState> {
        const DURABLE: u8 = 1 << 1;
        let args = self.call(method::QUEUE_DECLARE_OK, |out| {
            Method::begin(out, CHANNEL, method::QUEUE_DECLARE)
                .u16(0)
                .short(name.as_bytes())
                .u8(DURABLE | u8::from(options.passive))
                .table(options.arguments)
                .end();
        })?;
        let mut fields = Fields(&args);
        fields.short("queue.declare-ok")?;
        let messages = fields.u32("queue.declare-ok")?;
        Ok(QueueState { messages, consumers: fields.u32("queue.declare-ok")? })
    }

    /// queue.delete, whatever is in it.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn delete_queue(&mut self, name: &str) -> Result<()> {
        self.call(method::QUEUE_DELETE_OK, |out| {
            Method::begin(out, CHANNEL, method::QUEUE_DELETE).u16(0).short(name.as_bytes()).u8(0).end();
        })
        .map(drop)
    }

    /// exchange.declare of a durable direct exchange.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn declare_exchange(&mut self, name: &str, passive: bool) -> Result<()> {
        const DURABLE: u8 = 1 << 1;
        self.call(method::EXCHANGE_DECLARE_OK, |out| {
            Method::begin(out, CHANNEL, method::EXCHANGE_DECLARE)
                .u16(0)
                .short(name.as_bytes())
                .short(b"direct")
                .u8(DURABLE | u8::from(passive))
                .table(&[])
                .end();
        })
        .map(drop)
    }

    /// queue.bind.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn bind_queue(&mut self, queue: &str, exchange: &str, key: &str) -> Result<()> {
        self.call(method::QUEUE_BIND_OK, |out| {
            Method::begin(out, CHANNEL, method::QUEUE_BIND)
                .u16(0)
                .short(queue.as_bytes())
                .short(exchange.as_bytes())
                .short(key.as_bytes())
                .u8(0)
                .table(&[])
                .end();
        })
        .map(drop)
    }

    /// confirm.select.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn confirm_select(&mut self) -> Result<()> {
        self.call(method::CONFIRM_SELECT_OK, |out| {
            Method::begin(out, CHANNEL, method::CONFIRM_SELECT).u8(0).end();
        })
        .map(drop)
    }

    /// basic.qos per consumer.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn qos(&mut self, prefetch: u16) -> Result<()> {
        self.call(method::BASIC_QOS_OK, |out| {
            Method::begin(out, CHANNEL, method::BASIC_QOS).u32(0).u16(prefetch).u8(0).end();
        })
        .map(drop)
    }

    /// basic.consume; on a queue that has messages it must be the last call, since deliveries follow at once.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn consume(&mut self, queue: &str, no_ack: bool) -> Result<()> {
        self.call(method::BASIC_CONSUME_OK, |out| {
            Method::begin(out, CHANNEL, method::BASIC_CONSUME)
                .u16(0)
                .short(queue.as_bytes())
                .short(queue.as_bytes())
                .u8(u8::from(no_ack) << 1)
                .table(&[])
                .end();
        })
        .map(drop)
    }

    /// Closes politely.
    ///
    /// # Errors
    /// See [`Connection::call`].
    pub fn close(mut self) -> Result<()> {
        self.call(method::CONNECTION_CLOSE_OK, |out| {
            Method::begin(out, 0, method::CONNECTION_CLOSE).u16(200).short(b"done").u16(0).u16(0).end();
        })
        .map(drop)
    }

    /// Sets how long a read of the hot loops waits at most.
    ///
    /// # Errors
    /// The system's.
    pub fn set_read_timeout(&self, timeout: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(timeout)).during("set a read time-out")
    }

    /// Socket, receive buffer and an empty send buffer, for a hot loop.
    pub fn parts(self) -> (TcpStream, Incoming, Vec<u8>) {
        (self.stream, self.incoming, self.out)
    }
}

/// Turns a server's close into an error; everything else that nobody waits for is ignored.
///
/// # Errors
/// [`BenchError::Refused`] on channel.close, connection.close and a consumer cancelled by the server.
pub fn check_event(event: &Event<'_>) -> Result<()> {
    match event {
        Event::Method { id: method::CONNECTION_CLOSE | method::CHANNEL_CLOSE, args } => {
            let mut fields = Fields(args);
            let code = fields.u16("close")?;
            let text = String::from_utf8_lossy(fields.short("close")?).into_owned();
            Err(BenchError::Refused { code, text })
        }
        Event::Method { id: method::BASIC_CANCEL, args } => {
            let tag = String::from_utf8_lossy(Fields(args).short("basic.cancel")?).into_owned();
            Err(BenchError::Refused { code: 0, text: format!("the server cancelled the consumer of {tag}") })
        }
        _ => Ok(()),
    }
}

/// One read. False when the read time-out passed without a byte.
///
/// # Errors
/// [`BenchError::Disconnected`] at the end of the stream, else the socket's error.
pub fn read_some(incoming: &mut Incoming, mut stream: &TcpStream) -> Result<bool> {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    match incoming.fill(&mut stream) {
        Ok(0) => Err(BenchError::Disconnected),
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => Ok(false),
        Err(error) => Err(error).during("read from the server"),
    }
}

/// Writes all of it.
///
/// # Errors
/// The socket's.
pub fn write_all(mut stream: &TcpStream, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    stream.write_all(bytes).during("write to the server")
}
