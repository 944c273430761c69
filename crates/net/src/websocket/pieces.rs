//! Large WebSocket messages in pieces: lies between the socket and the library, which gathers a message as a whole before it gives
//! it away, so that a body would be in memory twice while it comes in. Frames of messages that are long or fragmented become messages of their own, of
//! at most [`PIECE_BYTES`]: to sessions a message is a piece of the stream anyway. Payloads are not touched; masks, control
//! frames and everything else stay the library's business. Called by the WebSocket stream only.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longest message that goes on. A multiple of four, so that the mask of a frame fits all of its pieces.
pub(super) const PIECE_BYTES: u64 = 64 * 1024;
/// Bytes read at once while frames are looked for.
const READ_BYTES: usize = 16 * 1024;

/// See the top of this file.
pub(super) struct Pieces<S> {
    stream: S,
    /// Read, and not looked at.
    raw: BytesMut,
    /// A header on its way.
    head: BytesMut,
    /// Payload that belongs to that header.
    payload_left: u64,
    /// Payload of the frame behind that, which gets headers of its own.
    frame_left: u64,
    frame: FrameHeader,
    /// A fragmented message goes on.
    fragmented: bool,
}

impl<S> Pieces<S> {
    /// `read` was read of the stream already.
    pub(super) fn new(stream: S, read: &[u8]) -> Self {
        Self {
            stream,
            raw: BytesMut::from(read),
            head: BytesMut::new(),
            payload_left: 0,
            frame_left: 0,
            frame: FrameHeader::default(),
            fragmented: false,
        }
    }

    /// Makes the header of what comes next. False: it is not all there.
    fn next_head(&mut self) -> io::Result<bool> {
        if self.frame_left > 0 {
            self.payload_left = self.frame_left.min(PIECE_BYTES);
            self.frame_left -= self.payload_left;
            self.put_head()?;
            return Ok(true);
        }
        let mut cursor = Cursor::new(&self.raw);
        let parsed = FrameHeader::parse(&mut cursor).map_err(io::Error::other)?;
        let Some((header, len)) = parsed else { return Ok(false) };
        let taken = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        self.raw.advance(taken.min(self.raw.len()));
        self.frame = header;
        let OpCode::Data(data) = self.frame.opcode else {
            self.payload_left = len;
            return self.put_head().map(|()| true);
        };
        if (data == Data::Continue) != self.fragmented {
            let why = "a fragment that continues nothing, or a message within another one";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.fragmented = !self.frame.is_final;
        if data != Data::Continue && self.frame.is_final && len <= PIECE_BYTES {
            self.payload_left = len;
            return self.put_head().map(|()| true);
        }
        // A piece of a text may end within a character.
        self.frame.opcode = OpCode::Data(Data::Binary);
        self.frame.is_final = true;
        self.frame_left = len;
        Ok(true)
    }

    fn put_head(&mut self) -> io::Result<()> {
        let mut head = (&mut self.head).writer();
        self.frame.format(self.payload_left, &mut head).map_err(io::Error::other)
    }
}

impl<S: AsyncRead + Unpin> Pieces<S> {
    /// Reads more to look at. False: the stream has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let have = self.raw.len();
        self.raw.resize(have + READ_BYTES, 0);
        let mut room = ReadBuf::new(self.raw.get_mut(have..).unwrap_or_default());
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let read = room.filled().len();
        self.raw.truncate(have + read);
        ready!(result)?;
        Poll::Ready(Ok(read > 0))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pieces<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            let some = buf.filled().len() > before;
            if !this.head.is_empty() {
                let take = this.head.len().min(buf.remaining());
                buf.put_slice(this.head.get(..take).unwrap_or_default());
                this.head.advance(take);
            } else if this.payload_left > 0 && !this.raw.is_empty() {
                let wanted = usize::try_from(this.payload_left).unwrap_or(usize::MAX);
                let take = wanted.min(this.raw.len()).min(buf.remaining());
                buf.put_slice(this.raw.get(..take).unwrap_or_default());
                this.raw.advance(take);
                this.payload_left -= take as u64;
            } else if this.payload_left > READ_BYTES as u64 {
                // Much is to come: it need not go through a buffer of ours.
                if some {
                    break;
                }
                let wanted = usize::try_from(this.payload_left).unwrap_or(usize::MAX);
                let mut room = ReadBuf::new(buf.initialize_unfilled_to(wanted.min(buf.remaining())));
                ready!(Pin::new(&mut this.stream).poll_read(cx, &mut room))?;
                let read = room.filled().len();
                buf.advance(read);
                this.payload_left -= read as u64;
                return Poll::Ready(Ok(()));
            } else if this.payload_left > 0 || !this.next_head()? {
                match this.poll_more(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Err(error)) if !some => return Poll::Ready(Err(error)),
                    Poll::Pending if !some => return Poll::Pending,
                    // What there is goes on; the end is met again with the next read.
                    _ => return Poll::Ready(Ok(())),
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pieces<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
