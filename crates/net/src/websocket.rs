//! WebSocket for sessions: the handshake (RFC 6455) on the HTTP port, and a stream of bytes over its messages that the
//! driver takes like any other. Which sessions those are, and under which path, is the caller's to say.
//!
//! Messages are cut anywhere: a message is a piece of the stream, as the clients of STOMP over WebSocket take it. What is
//! written is a text message where it is UTF-8, since some of them understand no other, and a binary one where it is not.

mod pieces;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use crate::driver::SessionFactory;
use crate::limits::WEBSOCKET_MESSAGE_BYTES;
use pieces::{PIECE_BYTES, Pieces};

/// What is served over WebSocket.
#[derive(Clone)]
pub struct WebSocketRoute {
    /// The path.
    pub path: &'static str,
    /// Subprotocols, the preferred first. A client that names none is served too.
    pub protocols: &'static [&'static str],
    /// Makes the sessions.
    pub factory: SessionFactory,
}

impl WebSocketRoute {
    /// Whether a request asks for this.
    pub(crate) fn wants(&self, path: &str, headers: &HeaderMap) -> bool {
        path == self.path && headers.get(UPGRADE).is_some_and(|value| has_word(value, "websocket"))
    }

    /// The answer to the handshake; only with 101 does the connection become a WebSocket.
    pub(crate) fn handshake(&self, headers: &HeaderMap) -> Response<Bytes> {
        let refused = |status: StatusCode, why: &'static str| {
            let mut response = Response::new(Bytes::from_static(why.as_bytes()));
            *response.status_mut() = status;
            response
        };
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut response = refused(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13\n");
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        }
        let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
            return refused(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing\n");
        };
        if !same_origin(headers) {
            let why = "pages of other hosts may not connect from a browser; serve the page from this host, or put a proxy in front\n";
            return refused(StatusCode::FORBIDDEN, why);
        }
        let accept = derive_accept_key(key.as_bytes());
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&accept) {
            answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
        let chosen = self.protocols.iter().find(|known| offered.iter().any(|value| has_word(value, known)));
        if let Some(chosen) = chosen {
            answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
        }
        response
    }
}

/// Whether a header's comma-separated list has a word.
fn has_word(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
}

/// A browser names the page that connects, and asks nobody whether it may: any page could talk to a broker on its reader's
/// machine. Pages of the same host or of this machine may.
fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let Some((_, origin)) = origin.split_once("://") else { return false };
    let origin = host(origin);
    let asked = headers.get(HOST).and_then(|value| value.to_str().ok()).map(host);
    matches!(origin, "localhost" | "127.0.0.1" | "[::1]") || asked == Some(origin)
}

/// A host without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A WebSocket as a stream of bytes.
pub(crate) struct WebSocketBytes<S> {
    socket: WebSocketStream<Pieces<S>>,
    /// What is left of the message that is being read.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketBytes<S> {
    /// Takes over a stream after the handshake. `read` was read of it already. How large what it says may be is for the session to
    /// say.
    pub(crate) async fn new(stream: S, read: &[u8]) -> Self {
        let max = usize::try_from(PIECE_BYTES).ok();
        let config = WebSocketConfig::default().max_message_size(max).max_frame_size(max);
        let pieces = Pieces::new(stream, read);
        let socket = WebSocketStream::from_raw_socket(pieces, Role::Server, Some(config)).await;
        Self { socket, rest: Bytes::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(text))) => self.rest = text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(ended(error)),
            }
        }
        let take = self.rest.len().min(buf.remaining());
        buf.put_slice(self.rest.get(..take).unwrap_or_default());
        self.rest.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io_error)?;
        let piece = buf.get(..buf.len().min(WEBSOCKET_MESSAGE_BYTES)).unwrap_or_default();
        let bytes = Bytes::copy_from_slice(piece);
        let message = match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        };
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

/// A peer that is gone without a closing handshake, as browsers' tabs go, is an end like any other.
fn ended(error: Error) -> io::Result<()> {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Ok(()),
        error => Err(io_error(error)),
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    use super::*;

    fn route() -> WebSocketRoute {
        let factory: SessionFactory = Arc::new(|_| unreachable!("no session is made here"));
        WebSocketRoute { path: "/ws", protocols: &["v12.stomp", "v11.stomp"], factory }
    }

    fn headers(more: &[(&str, &str)]) -> HeaderMap {
        let usual = [
            ("upgrade", "websocket"),
            ("host", "broker.example:9324"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let all = usual.iter().chain(more);
        all.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect::<Vec<(hyper::header::HeaderName, HeaderValue)>>()
            .into_iter()
            .collect()
    }

    #[test]
    fn the_handshake_is_that_of_the_specification() {
        let headers = headers(&[("sec-websocket-protocol", "v10.stomp, v11.stomp,v12.stomp")]);
        assert!(route().wants("/ws", &headers) && !route().wants("/other", &headers));
        let response = route().handshake(&headers);
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "v12.stomp");
    }

    #[test]
    fn pages_of_strangers_are_kept_out() {
        for (origin, status) in [
            ("http://broker.example", 101),
            ("https://broker.example:8443", 101),
            ("http://localhost:3000", 101),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let response = route().handshake(&headers(&[("origin", origin)]));
            assert_eq!(response.status().as_u16(), status, "{origin}");
        }
    }

    #[test]
    fn broken_handshakes_are_refused() {
        let mut none = headers(&[]);
        none.remove(SEC_WEBSOCKET_KEY);
        assert_eq!(route().handshake(&none).status(), StatusCode::BAD_REQUEST);
        let mut old = headers(&[]);
        old.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(route().handshake(&old).status(), StatusCode::UPGRADE_REQUIRED);
    }

    #[tokio::test]
    async fn bytes_pass_in_both_directions() {
        use futures_util::{SinkExt, StreamExt};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut server = WebSocketBytes::new(near, &[]).await;
        let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        client.send(Message::Text("SEND".into())).await.unwrap();
        client.send(Message::Binary(Bytes::from_static(b"\n\0"))).await.unwrap();
        let mut got = [0; 6];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"SEND\n\0");
        server.write_all("text ü".as_bytes()).await.unwrap();
        server.write_all(b"\xff").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Text("text ü".into()));
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"\xff")));
        client.close(None).await.unwrap();
        assert_eq!(server.read(&mut got).await.unwrap(), 0);
    }

    /// A masked frame as a client sends it.
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 99, 201, 3];
        let header = FrameHeader { is_final, opcode, mask: Some(mask), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[tokio::test]
    async fn long_and_fragmented_messages_come_in_order_whatever_the_reads() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let long: Vec<u8> = (0..300_001_u32).map(|n| n.to_le_bytes()[0] | 0x80).collect();
        let text = "ü".repeat(100_000).into_bytes();
        let (data, control) = (OpCode::Data, OpCode::Control);
        let mut sent = Vec::new();
        sent.extend(frame(data(Data::Text), true, b"CONNECT"));
        sent.extend(frame(data(Data::Binary), true, &long));
        sent.extend(frame(data(Data::Text), false, &text));
        sent.extend(frame(control(Control::Ping), true, b"still there?"));
        sent.extend(frame(data(Data::Continue), false, b""));
        sent.extend(frame(data(Data::Continue), true, b"end"));
        sent.extend(frame(data(Data::Binary), true, b"last"));
        let expected = [b"CONNECT".as_slice(), &long, &text, b"end", b"last"].concat();
        for piece in [1_usize, 13, 4_096, 65_537, usize::MAX] {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            // What came with the handshake is the beginning of the stream.
            let (early, rest) = sent.split_at(5);
            let mut server = WebSocketBytes::new(near, early).await;
            let rest = rest.to_vec();
            let client = tokio::spawn(async move {
                let step = if piece == 1 { 997 } else { piece };
                for part in rest.chunks(step.min(rest.len())) {
                    far.write_all(part).await.unwrap();
                }
                far
            });
            let mut got = Vec::new();
            let mut buf = vec![0; piece.clamp(61, 1 << 16)];
            while got.len() < expected.len() {
                let read = server.read(&mut buf).await.unwrap();
                assert!(read > 0, "the end after {} bytes", got.len());
                got.extend_from_slice(&buf[..read]);
            }
            assert!(got == expected, "in reads of {piece}");
            server.flush().await.unwrap();
            let mut far = client.await.unwrap();
            let mut pong = [0; 14];
            far.read_exact(&mut pong).await.unwrap();
            assert_eq!(&pong[2..], b"still there?");
            far.write_all(&frame(control(Control::Close), true, b"")).await.unwrap();
            assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn frames_that_are_out_of_place_end_it() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let data = OpCode::Data;
        let unmasked = [0x82, 1, b'x'].to_vec();
        for wrong in [
            frame(data(Data::Continue), true, b"of what?"),
            [frame(data(Data::Text), false, b"one"), frame(data(Data::Text), true, b"two")].concat(),
            frame(OpCode::Control(Control::Ping), true, &[b'x'; 126]),
            frame(data(Data::Text), true, b"\xff"),
            unmasked,
        ] {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            let mut server = WebSocketBytes::new(near, &[]).await;
            far.write_all(&wrong).await.unwrap();
            let mut buf = [0; 100];
            let read = async {
                while server.read(&mut buf).await? > 0 {}
                io::Result::Ok(())
            };
            assert!(read.await.is_err(), "{wrong:?}");
        }
    }
}
