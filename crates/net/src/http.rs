//! HTTP/1.1 for a router that `admin` (and later dialects over HTTP) gives: limits on headers and bodies, time-outs for
//! peers that dawdle, graceful end. What is answered is not here.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout};
use tower::ServiceExt;

use crate::connections::Entry;
use crate::limits::{GOODBYE, HTTP_BODY_PAUSE, HTTP_HEADER_BYTES_MAX, HTTP_HEADERS, HTTP_HEADERS_MAX};

/// Who sent a request: in the extensions of every request that a router gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// It is on this machine.
    pub loopback: bool,
    /// By TLS.
    pub encrypted: bool,
}

/// A router with its limits.
#[derive(Clone)]
pub(crate) struct HttpService {
    router: axum::Router,
    body_bytes_max: usize,
}

impl HttpService {
    pub(crate) fn new(router: axum::Router, body_bytes_max: usize) -> Self {
        // Extractors have a limit of their own, far lower than a message may be; this one replaces it.
        Self { router: router.layer(DefaultBodyLimit::max(body_bytes_max)), body_bytes_max }
    }

    pub(crate) async fn serve<S>(&self, stream: S, entry: &Entry)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { address: entry.peer, loopback: entry.loopback(), encrypted: entry.encrypted };
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(peer);
            // What announces to be too large is not even begun with.
            let fits = body.size_hint().lower() <= self.body_bytes_max as u64;
            let body = axum::body::Body::new(Guarded::new(Limited::new(body, self.body_bytes_max)));
            let answer = self.router.clone().oneshot(hyper::Request::from_parts(parts, body));
            async move { if fits { answer.await } else { Ok(too_large()) } }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEADERS)
            .max_buf_size(HTTP_HEADER_BYTES_MAX)
            .max_headers(HTTP_HEADERS_MAX)
            .serve_connection(TokioIo::new(Counted { stream, entry }), service);
        let mut connection = pin!(connection);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = entry.bell().notified() => {
                    if entry.closing().is_some() {
                        connection.as_mut().graceful_shutdown();
                        // A request that waits for messages may be in the middle of it; it gets its goodbye time.
                        match timeout(GOODBYE, connection.as_mut()).await {
                            Ok(ended) => break ended,
                            Err(_) => return,
                        }
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(listener = entry.listener, peer = %entry.peer, %error, "HTTP connection ended");
        }
    }
}

/// A stream whose bytes are counted.
struct Counted<'a, S> {
    stream: S,
    entry: &'a Entry,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.entry.counters.bytes_in.add_bytes(buf.filled().len().saturating_sub(before));
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = result {
            self.entry.counters.bytes_out.add_bytes(written);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(written)) = result {
            self.entry.counters.bytes_out.add_bytes(written);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request body that may not pause for too long. Its size is limited by what it wraps.
struct Guarded<B> {
    body: B,
    pause: Pin<Box<Sleep>>,
}

impl<B> Guarded<B> {
    fn new(body: B) -> Self {
        Self { body, pause: Box::pin(tokio::time::sleep(HTTP_BODY_PAUSE)) }
    }
}

fn too_large() -> axum::response::Response {
    let headers = [(hyper::header::CONNECTION, "close")];
    (hyper::StatusCode::PAYLOAD_TOO_LARGE, headers, "the request's body is too large\n").into_response()
}

impl<B: Body<Data = Bytes> + Unpin> Body for Guarded<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.pause.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err("the request's body paused for too long".into())));
            }
            return Poll::Pending;
        };
        if frame.is_some() {
            this.pause.as_mut().reset(Instant::now() + HTTP_BODY_PAUSE);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
