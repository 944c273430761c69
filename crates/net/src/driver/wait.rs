//! Waiting: the closed list of what can wake a connection, in the order in which it is looked at. Nothing is decided here.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use baton_access::Grant;
use baton_dialect::large::LARGE_BYTES_MIN;
use baton_model::Refusal;
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::limits::{
    BACKLOG_BYTES_MAX, LARGE_RESERVE_FACTOR, READ_AHEAD_BYTES_MAX, READ_BYTES_MAX, READ_BYTES_MIN,
    SMALL_READS_MAX, WRITE_BUFFER_KEPT_BYTES,
};

use super::burst::Connection;
use super::pending::SLICES_MAX;

/// Everything that can wake a connection.
pub(super) enum Wake {
    /// So many bytes came.
    Bytes(usize),
    /// The peer closed its side (`Ok`), or the stream failed.
    Ended(io::Result<()>),
    /// All that was to be written is written.
    Written,
    /// Bytes that came earlier may now go to the session.
    Room,
    /// A password was checked.
    LoggedIn(Result<Grant, Refusal>),
    /// The engine has events or room, or somebody closes the connection.
    Rung,
    /// The timer went off.
    Deadline,
}

/// How large the next read may be: follows what the peer sends, so that idle connections cost little memory.
pub(super) struct ReadSize {
    bytes: usize,
    small: u32,
}

impl Default for ReadSize {
    fn default() -> Self {
        Self { bytes: READ_BYTES_MIN, small: 0 }
    }
}

impl ReadSize {
    fn learn(&mut self, read: usize) {
        if read >= self.bytes {
            self.bytes = (self.bytes * 2).min(READ_BYTES_MAX);
            self.small = 0;
        } else if read < self.bytes / 4 && self.bytes > READ_BYTES_MIN {
            self.small += 1;
            if self.small == SMALL_READS_MAX {
                self.bytes = (self.bytes / 2).max(READ_BYTES_MIN);
                self.small = 0;
            }
        } else {
            self.small = 0;
        }
    }
}

/// Makes room for more of a frame of `whole` bytes, of which `input` is the beginning. In few steps, since each is a copy; never
/// far beyond what has really come, since a peer can announce anything; and not beyond the whole, so that the frame fills its buffer.
fn make_room_for(whole: usize, want: usize, input: &mut BytesMut) {
    let have = input.len();
    if input.capacity() > have {
        return;
    }
    let least = have.saturating_add(want).min(whole);
    let room = match least.saturating_mul(LARGE_RESERVE_FACTOR) {
        all if all >= whole => whole,
        // The last step starts from a small part: a large frame is not held twice while its buffer grows.
        part => part.min(whole / LARGE_RESERVE_FACTOR).max(least),
    };
    // `BytesMut::reserve` would double it.
    let mut larger = BytesMut::with_capacity(room);
    larger.extend_from_slice(input);
    *input = larger;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn wait(&mut self, bell: &Notify) -> Wake {
        let mut rung = pin!(bell.notified());
        poll_fn(|cx| self.poll_wake(cx, rung.as_mut())).await
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>, rung: Pin<&mut Notified<'_>>) -> Poll<Wake> {
        if self.unflushed
            && let Poll::Ready(result) = self.poll_write_pending(cx)
        {
            return Poll::Ready(match result {
                Ok(()) => Wake::Written,
                Err(error) => Wake::Ended(Err(error)),
            });
        }
        if let Some(login) = &mut self.login
            && let Poll::Ready(result) = Pin::new(&mut login.task).poll(cx)
        {
            let stopped = |_| {
                Refusal::new(baton_model::RefusalCode::Unavailable, "the broker is stopping; try another one")
            };
            return Poll::Ready(Wake::LoggedIn(result.unwrap_or_else(|error| Err(stopped(error)))));
        }
        let open = self.may_receive();
        if self.unseen && open {
            return Poll::Ready(Wake::Room);
        }
        if (open || self.input.len() < READ_AHEAD_BYTES_MAX)
            && let Poll::Ready(result) = self.poll_read(cx)
        {
            return Poll::Ready(match result {
                Ok(0) => Wake::Ended(Ok(())),
                Ok(n) => Wake::Bytes(n),
                Err(error) => Wake::Ended(Err(error)),
            });
        }
        if rung.poll(cx).is_ready() {
            return Poll::Ready(Wake::Rung);
        }
        if self.armed_at.is_some() && self.timer.as_mut().poll(cx).is_ready() {
            self.armed_at = None;
            return Poll::Ready(Wake::Deadline);
        }
        Poll::Pending
    }

    /// Whether the session may have bytes.
    pub(super) fn may_receive(&self) -> bool {
        self.login.is_none()
            && self.pending.len() <= BACKLOG_BYTES_MAX
            && !self.port.as_ref().is_some_and(|port| port.congested() || port.is_full())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let want = self.read_size.bytes;
        if self.input.is_empty() && self.input.capacity() > 4 * want {
            self.input = BytesMut::new();
        }
        match self.session.awaited_bytes() {
            whole if whole >= LARGE_BYTES_MIN && whole > self.input.len() => {
                make_room_for(whole, want, &mut self.input);
            }
            _ => self.input.reserve(want),
        }
        let mut room = (&mut self.input).limit(want);
        let read = ready!(pin!(self.stream.read_buf(&mut room)).poll(cx))?;
        self.read_size.learn(read);
        Poll::Ready(Ok(read))
    }

    /// Writes until nothing is left or the stream takes no more. Counts deliveries as written in proportion.
    pub(super) fn poll_write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = if self.pending.is_plain() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, self.pending.own()))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.pending.slices(&mut slices);
                let slices = slices.get(..count).unwrap_or_default();
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.count_written(written);
            self.pending.advance(written);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unflushed = false;
        self.pending.reset(WRITE_BUFFER_KEPT_BYTES);
        Poll::Ready(Ok(()))
    }

    fn count_written(&mut self, written: usize) {
        self.entry.counters.bytes_out.add_bytes(written);
        if self.owed == 0 {
            return;
        }
        let share = if written >= self.pending.len() {
            self.owed
        } else {
            let share = self.owed as u128 * written as u128 / self.pending.len() as u128;
            usize::try_from(share).unwrap_or(self.owed)
        };
        self.owed -= share;
        if let Some(port) = &self.port
            && share > 0
        {
            port.written(share);
        }
    }

    /// Sets the timer to `at` unless it goes off before that anyway; `handle` looks at the deadlines whenever it does.
    pub(super) fn arm(&mut self, at: Instant) {
        if self.armed_at.is_none_or(|armed| at < armed) {
            self.timer.as_mut().reset(at);
            self.armed_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_of_a_large_frame_grows_in_few_steps_to_just_its_size() {
        let (whole, want) = (127 << 20, 256 << 10);
        let mut input = BytesMut::from(&b"the beginning"[..]);
        let (mut steps, mut copied) = (0, 0);
        while input.len() < whole {
            make_room_for(whole, want, &mut input);
            assert!(input.capacity() <= whole && input.capacity() > input.len());
            assert!(
                input.capacity() == whole || input.capacity() <= LARGE_RESERVE_FACTOR * (input.len() + want)
            );
            steps += 1;
            copied = input.len();
            input.resize(input.capacity(), 7);
        }
        assert!(steps <= 5 && copied <= whole / LARGE_RESERVE_FACTOR, "{steps} {copied}");
        assert!(input.starts_with(b"the beginning\x07"));
    }

    #[test]
    fn reads_grow_with_the_flow_and_shrink_when_it_ebbs() {
        let mut size = ReadSize::default();
        for _ in 0..10 {
            size.learn(size.bytes);
        }
        assert_eq!(size.bytes, READ_BYTES_MAX);
        for _ in 0..SMALL_READS_MAX * 10 {
            size.learn(20);
        }
        assert_eq!(size.bytes, READ_BYTES_MIN);
    }
}
