//! A lean HTTP/1.1 client for one connection: keep-alive, one request at a time, prebuilt bytes out, the body of the
//! answer in a buffer that is used again. Knows nothing of SQS. Called by the workloads beside it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use memchr::memmem;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::error::{BenchError, During, Result};

/// How long an answer may take: a long poll's 20 seconds, and some.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Largest answer: ten messages of the largest body with what JSON adds. Met: the run fails.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// First size of the buffer: ten messages of 1 KiB.
const BUFFER_BYTES: usize = 16 * 1024;

/// A connection, made when it is first used and again when the server closed it after an answer.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    filled: usize,
    /// Of the answer that is being read, once its head is there: the head, and where the body begins.
    head: Option<(Head, usize)>,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    length: usize,
    closes: bool,
}

impl Http {
    /// A connection to `address`, not made yet.
    pub fn new(address: SocketAddr) -> Http {
        Http { address, stream: None, buffer: vec![0; BUFFER_BYTES], filled: 0, head: None }
    }

    /// The connection, to wait for an answer.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Sends a whole request without waiting for its answer.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn ask(&mut self, request: &[u8]) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).during("connect")?;
            stream.set_nodelay(true).during("set TCP_NODELAY")?;
            stream.set_read_timeout(Some(ANSWER_MAX)).during("set the read timeout")?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("it was made above if it was not there");
        stream.write_all(request).during("send a request")
    }

    /// The body of the answer to the last request.
    ///
    /// # Errors
    /// The status is not 200, the bytes are no HTTP answer with a length, or the connection ends.
    pub fn answer(&mut self) -> Result<&[u8]> {
        loop {
            if let Some(answer) = self.whole()? {
                return self.body(answer);
            }
            self.fill(RecvFlags::empty())?;
        }
    }

    /// The body of the answer to the last request if it is there; reads once and does not wait.
    ///
    /// # Errors
    /// As [`Http::answer`].
    pub fn answer_now(&mut self) -> Result<Option<&[u8]>> {
        self.fill(RecvFlags::DONTWAIT)?;
        match self.whole()? {
            Some(answer) => self.body(answer).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the answer has come whole: its head, and where its body begins. What follows is the next one's.
    fn whole(&mut self) -> Result<Option<(Head, usize)>> {
        if self.head.is_none()
            && let Some(end) = memmem::find(self.received(), b"\r\n\r\n")
        {
            let head = Head::parse(self.received().get(..end).unwrap_or_default())?;
            let begin = end + 4;
            if begin + head.length > ANSWER_BYTES_MAX {
                return Err(BenchError::Run(format!("an answer of {} bytes", head.length)));
            }
            if self.buffer.len() < begin + head.length {
                self.buffer.resize(begin + head.length, 0);
            }
            self.head = Some((head, begin));
        }
        Ok(self.head.take_if(|(head, begin)| self.filled >= *begin + head.length))
    }

    fn body(&mut self, (head, begin): (Head, usize)) -> Result<&[u8]> {
        self.filled = 0;
        if head.closes {
            self.stream = None;
        }
        let body = self.buffer.get(begin..begin + head.length).unwrap_or_default();
        if head.status == 200 {
            Ok(body)
        } else {
            let text = String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default());
            Err(BenchError::Refused { code: head.status, text: text.into_owned() })
        }
    }

    /// Sends a request and waits for its answer's body.
    ///
    /// # Errors
    /// As [`Http::ask`] and [`Http::answer`].
    pub fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.ask(request)?;
        self.answer()
    }

    fn received(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn fill(&mut self, flags: RecvFlags) -> Result<()> {
        if self.filled == self.buffer.len() {
            if self.filled >= ANSWER_BYTES_MAX {
                return Err(BenchError::Run("an answer's head does not end".to_owned()));
            }
            self.buffer.resize(self.filled * 2, 0);
        }
        let Some(stream) = &self.stream else { return Err(BenchError::Disconnected) };
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match recv(stream, room, flags) {
            Ok((0, _)) => Err(BenchError::Disconnected),
            Ok((count, _)) => {
                self.filled += count;
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(Errno::AGAIN) if flags.contains(RecvFlags::DONTWAIT) => Ok(()),
            Err(error) => Err(std::io::Error::from(error)).during("read an answer"),
        }
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Head> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut head =
            Head { status: status.unwrap_or_default(), length: 0, closes: first.starts_with("HTTP/1.0") };
        let mut has_length = false;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().unwrap_or(usize::MAX);
                has_length = true;
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        if head.status == 0 || !has_length || head.length > ANSWER_BYTES_MAX {
            return Err(BenchError::Run(format!("not an HTTP answer with a length: {first}")));
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn heads_of_answers() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 12").unwrap();
        assert_eq!(head, Head { status: 200, length: 12, closes: false });
        let head = Head::parse(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0").unwrap();
        assert_eq!(head, Head { status: 403, length: 0, closes: true });
        for bad in ["HTTP/1.1 200 OK", "junk\r\nContent-Length: 1", "HTTP/1.1 200 OK\r\nContent-Length: x"] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_come_in_pieces_and_the_connection_is_made_again_when_it_was_closed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for pieces in [
                ["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\nConnection: close\r\n\r\nhe", "llo"],
                ["HTTP/1.1 500 No\r\nContent-Length: 3\r\n", "\r\n", "bad"],
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4];
                stream.read_exact(&mut request).unwrap();
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                    stream.flush().unwrap();
                }
            }
        });
        let mut http = Http::new(address);
        assert_eq!(http.call(b"ping").unwrap(), b"hello");
        let refused = http.call(b"ping").unwrap_err();
        assert!(matches!(refused, BenchError::Refused { code: 500, text } if text == "bad"));
        server.join().unwrap();
    }
}
