//! HTTP/1.1 for the dialects that live on it (see [`crate::exchange`]) and, for what none of them claims, a router that
//! `admin` gives: limits on headers and bodies, time-outs for peers that dawdle, graceful end. What is answered is not here.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use baton_dialect::http::{HttpDialect, HttpRequest};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout};
use tower::ServiceExt;

use crate::connections::Entry;
use crate::driver::drive;
use crate::exchange::Exchanges;
use crate::hub::Hub;
use crate::limits::{
    GOODBYE, HTTP_BODY_PACE_BYTES, HTTP_BODY_PAUSE, HTTP_HEADER_BYTES_MAX, HTTP_HEADERS, HTTP_HEADERS_MAX,
};
use crate::websocket::{WebSocketBytes, WebSocketRoute};

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

/// Dialects, and a router with its limits for everything else.
#[derive(Clone)]
pub(crate) struct HttpService {
    router: axum::Router,
    body_bytes_max: usize,
    dialects: Vec<Arc<dyn HttpDialect>>,
    websocket: Option<WebSocketRoute>,
    hub: Arc<Hub>,
}

/// The promise of a connection that stops being HTTP.
type Upgrade = Mutex<Option<OnUpgrade>>;

impl HttpService {
    pub(crate) fn new(
        hub: Arc<Hub>,
        router: axum::Router,
        body_bytes_max: usize,
        dialects: Vec<Arc<dyn HttpDialect>>,
        websocket: Option<WebSocketRoute>,
    ) -> Self {
        // Extractors have a limit of their own, far lower than a message may be; this one replaces it.
        let router = router.layer(DefaultBodyLimit::max(body_bytes_max));
        Self { router, body_bytes_max, dialects, websocket, hub }
    }

    pub(crate) async fn serve<S>(&self, stream: S, entry: &Arc<Entry>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let exchanges = Exchanges::new(Arc::clone(&self.hub), Arc::clone(entry), &self.dialects);
        let peer = Peer { address: entry.peer, loopback: entry.loopback(), encrypted: entry.encrypted };
        let upgrade = Upgrade::default();
        let service =
            service_fn(|request: hyper::Request<Incoming>| self.answer(&exchanges, peer, &upgrade, request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEADERS)
            .max_buf_size(HTTP_HEADER_BYTES_MAX)
            .max_headers(HTTP_HEADERS_MAX)
            .serve_connection(TokioIo::new(Counted { stream, entry: Arc::clone(entry) }), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = entry.bell().notified() => {
                    if entry.closing().is_some() {
                        connection.as_mut().graceful_shutdown();
                        exchanges.stop_waiting();
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
        let upgrade = upgrade.lock().take();
        if let Some(upgrade) = upgrade {
            // On its own: hardly any connection needs the room.
            Box::pin(self.serve_websocket::<S>(upgrade, entry)).await;
        }
    }

    /// What was HTTP is the stream of a session now; it stays the same connection for all who count or close it.
    async fn serve_websocket<S>(&self, upgrade: OnUpgrade, entry: &Arc<Entry>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(route) = &self.websocket else { return };
        let Ok(upgraded) = upgrade.await else { return };
        // Taken out of its counting wrapper: the driver counts.
        let Ok(parts) = upgraded.downcast::<TokioIo<Counted<S>>>() else { return };
        let (stream, read) = (parts.io.into_inner().stream, parts.read_buf.to_vec());
        let stream = WebSocketBytes::new(stream, &read).await;
        let session = (route.factory)(self.hub.session_context(entry));
        drive(stream, session, Arc::clone(&self.hub), Arc::clone(entry)).await;
    }

    async fn answer(
        &self,
        exchanges: &Exchanges,
        peer: Peer,
        upgrade: &Upgrade,
        mut request: hyper::Request<Incoming>,
    ) -> Result<axum::response::Response, Infallible> {
        if let Some(route) =
            self.websocket.as_ref().filter(|route| route.wants(request.uri().path(), request.headers()))
        {
            let response = route.handshake(request.headers());
            if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS {
                *upgrade.lock() = Some(hyper::upgrade::on(&mut request));
            }
            return Ok(response.map(axum::body::Body::from));
        }
        let (mut parts, body) = request.into_parts();
        let Some((index, dialect)) = exchanges.claimed(&parts) else {
            parts.extensions.insert(peer);
            // What announces to be too large is not even begun with.
            if body.size_hint().lower() > self.body_bytes_max as u64 {
                return Ok(too_large());
            }
            let body = axum::body::Body::new(Guarded::new(Limited::new(body, self.body_bytes_max)));
            return Box::pin(self.router.clone().oneshot(hyper::Request::from_parts(parts, body))).await;
        };
        let body_bytes_max = dialect.body_bytes_max();
        if body.size_hint().lower() > body_bytes_max as u64 {
            return Ok(closing(dialect.too_large(&parts)));
        }
        match Guarded::new(Limited::new(body, body_bytes_max)).collect().await {
            Ok(body) => {
                let request = HttpRequest { head: parts, body: body.to_bytes() };
                Ok(exchanges.serve(index, request).await.map(axum::body::Body::from))
            }
            Err(error) if error.is::<LengthLimitError>() => Ok(closing(dialect.too_large(&parts))),
            // It came too slowly, or was cut off: there is nobody to tell, or nobody who listens.
            Err(_) => Ok(closing(hyper::Response::new(Bytes::new()))),
        }
    }
}

/// The connection ends with this response: what is left of the request's body is not read.
fn closing(mut response: hyper::Response<Bytes>) -> axum::response::Response {
    if response.status() == hyper::StatusCode::OK {
        *response.status_mut() = hyper::StatusCode::REQUEST_TIMEOUT;
    }
    response
        .headers_mut()
        .insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
    response.map(axum::body::Body::from)
}

/// A stream whose bytes are counted.
struct Counted<S> {
    stream: S,
    entry: Arc<Entry>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
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

/// A request body that may not come too slowly. Its size is limited by what it wraps.
struct Guarded<B> {
    body: B,
    /// Set when the body first has to be waited for: most are there with their head.
    pause: Option<Pin<Box<Sleep>>>,
    /// Came since the pause was set.
    paced_bytes: usize,
}

impl<B> Guarded<B> {
    fn new(body: B) -> Self {
        Self { body, pause: None, paced_bytes: 0 }
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
            let pause = this.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(HTTP_BODY_PAUSE)));
            if pause.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err("the request's body came too slowly".into())));
            }
            return Poll::Pending;
        };
        if let (Some(pause), Some(Ok(frame))) = (&mut this.pause, &frame) {
            this.paced_bytes += frame.data_ref().map_or(0, Bytes::len);
            if this.paced_bytes >= HTTP_BODY_PACE_BYTES {
                this.paced_bytes = 0;
                pause.as_mut().reset(Instant::now() + HTTP_BODY_PAUSE);
            }
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
