//! A stream that ends when its peer makes no progress.
//!
//! It looks at what passes, as far as it must to know where an HTTP/1.1 connection is:
//!
//! ```text
//! Idle ──first byte──▶ Head ──blank line──▶ Body ──answer──▶ Idle
//!                                             └────101──────▶ Upgraded
//! ```
//!
//! A connection begins in `Head`: who connects has something to say. Each state has a deadline,
//! that of `Body` moving on with what arrives, and `Upgraded` has none: from there on the socket's
//! own rules hold. Writing has a deadline of its own, so that a reader who stops reading ends too.
//! HTTP/2 is refused: its frames have no heads to see, and upgrades there are something else.
//!
//! An upgraded connection is written to when it is flushed: frames gather here, in memory that is
//! given back with the flush. The WebSocket library's own buffer would keep for each socket, for as
//! long as it lives, what its longest run of frames took.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use skein_wire::limit;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

/// How long a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// From the end of the head to the answer, and a second more for every
    /// [`limit::HTTP_BODY_BYTES_PER_SECOND`].
    pub body: Duration,
    /// From an answer to the next request.
    pub idle: Duration,
    /// From one written byte to the next, while there is something to write.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: limit::HANDSHAKE_DEADLINE,
            head: limit::HTTP_HEAD_DEADLINE,
            body: limit::HTTP_BODY_DEADLINE,
            idle: limit::HTTP_IDLE_DEADLINE,
            write: limit::HTTP_WRITE_DEADLINE,
        }
    }
}

/// How an HTTP/2 connection begins.
const HTTP2: &[u8] = b"PRI";
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The first byte of a close frame that is whole: RFC 6455, 5.2 and 5.5.1. Any other bytes that begin
/// like it are written at once too, which harms nothing.
const CLOSE_FRAME: u8 = 0x88;
/// Bytes that gather before they are written without a flush; what is as long by itself does not
/// gather.
const GATHERED_BYTES_MAX: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Head,
    Body { since: Instant, n_bytes: u64 },
    Upgraded,
}

/// A stream with deadlines. Holds the connection's permit until it is dropped.
#[derive(Debug)]
pub struct Guarded<S> {
    inner: S,
    deadlines: Deadlines,
    state: State,
    /// When the peer must have done what the state waits for; none once upgraded. A timer keeps the
    /// task that polled it, here that of the HTTP connection, which ends with the upgrade.
    read_by: Option<Pin<Box<Sleep>>>,
    /// When the next byte must be written; none while nothing waits to be.
    write_by: Option<Pin<Box<Sleep>>>,
    /// What was said since the last flush of an upgraded connection.
    gathered: Vec<u8>,
    /// The first bytes of the connection, as far as they were those of HTTP/2.
    n_http2: usize,
    /// How many bytes of the head's end were just seen.
    n_end: usize,
    _permit: OwnedSemaphorePermit,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, deadlines: Deadlines, permit: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            deadlines,
            state: State::Head,
            read_by: Some(Box::pin(sleep_until(Instant::now() + deadlines.head))),
            write_by: None,
            gathered: Vec::new(),
            n_http2: 0,
            n_end: 0,
            _permit: permit,
        }
    }

    fn wait(&mut self, state: State) {
        self.state = state;
        let by = match state {
            State::Idle => Instant::now() + self.deadlines.idle,
            State::Head => Instant::now() + self.deadlines.head,
            State::Body { since, n_bytes } => {
                let earned = Duration::from_secs(n_bytes / limit::HTTP_BODY_BYTES_PER_SECOND);
                since + self.deadlines.body + earned
            }
            State::Upgraded => {
                self.read_by = None;
                return;
            }
        };
        if let Some(read_by) = &mut self.read_by {
            read_by.as_mut().reset(by);
        }
    }

    /// Follows what the peer sent.
    fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.state == State::Idle && !bytes.is_empty() {
            self.n_end = 0;
            self.wait(State::Head);
        }
        match self.state {
            State::Head => {
                self.refuse_http2(bytes)?;
                if let Some(rest) = self.head_end(bytes) {
                    let n_bytes = (bytes.len() - rest) as u64;
                    self.wait(State::Body { since: Instant::now(), n_bytes });
                }
            }
            State::Body { since, n_bytes } => {
                self.wait(State::Body { since, n_bytes: n_bytes + bytes.len() as u64 });
            }
            State::Idle | State::Upgraded => (),
        }
        Ok(())
    }

    /// Where the head ends in these bytes, which may begin in the middle of its end.
    fn head_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.n_end = match byte {
                byte if byte == HEAD_END[self.n_end] => self.n_end + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.n_end == HEAD_END.len() {
                self.n_end = 0;
                return Some(at + 1);
            }
        }
        None
    }

    fn refuse_http2(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            match HTTP2.get(self.n_http2) {
                Some(&expected) if expected == byte => self.n_http2 += 1,
                // Not HTTP/2; it is not looked at again.
                _ => {
                    self.n_http2 = HTTP2.len() + 1;
                    return Ok(());
                }
            }
            if self.n_http2 == HTTP2.len() {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "HTTP/2 is not served"));
            }
        }
        Ok(())
    }

    /// Follows what the server answers.
    fn said(&mut self, bytes: &[u8]) {
        match self.state {
            State::Upgraded => (),
            State::Body { .. } if bytes.starts_with(b"HTTP/1.1 101") => self.wait(State::Upgraded),
            // "Go on": the body is yet to come.
            State::Body { .. } if bytes.starts_with(b"HTTP/1.1 100") => (),
            _ if bytes.is_empty() => (),
            _ => self.wait(State::Idle),
        }
    }

    /// Lets a write wait no longer than it may.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.state == State::Upgraded || done.is_ready() {
            self.write_by = None;
            return done;
        }
        let by = Instant::now() + self.deadlines.write;
        let write_by = self.write_by.get_or_insert_with(|| Box::pin(sleep_until(by)));
        ready!(write_by.as_mut().poll(cx));
        Poll::Ready(Err(too_late("the peer reads too slowly")))
    }
}

fn too_late(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match pin!(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) if this.state != State::Upgraded => {
                Poll::Ready(this.heard(&buffer.filled()[before..]))
            }
            Poll::Pending => {
                let Some(read_by) = &mut this.read_by else { return Poll::Pending };
                ready!(read_by.as_mut().poll(cx));
                Poll::Ready(Err(too_late("the peer sends too slowly")))
            }
            done => done,
        }
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    /// Takes what is to be written with the next flush.
    fn gather(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The library ends without a flush after its answer to a close frame.
        let is_alone = bytes.len() > GATHERED_BYTES_MAX || bytes.first() == Some(&CLOSE_FRAME);
        if is_alone || self.gathered.len() + bytes.len() > GATHERED_BYTES_MAX {
            ready!(self.pass_on(cx))?;
        }
        if is_alone {
            return pin!(&mut self.inner).poll_write(cx, bytes);
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Writes what has gathered, and gives its memory back.
    fn pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let n_bytes = ready!(pin!(&mut self.inner).poll_write(cx, &self.gathered))?;
            if n_bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.drain(..n_bytes);
        }
        self.gathered = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.state == State::Upgraded {
            return this.gather(cx, bytes);
        }
        this.said(bytes);
        let done = pin!(&mut this.inner).poll_write(cx, bytes);
        this.written(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let first: &[u8] = slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice);
        if this.state == State::Upgraded {
            return this.gather(cx, first);
        }
        this.said(first);
        let done = pin!(&mut this.inner).poll_write_vectored(cx, slices);
        this.written(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.pass_on(cx))?;
        let done = pin!(&mut this.inner).poll_flush(cx);
        this.written(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.pass_on(cx))?;
        let done = pin!(&mut this.inner).poll_shutdown(cx);
        this.written(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::Semaphore,
    };

    use super::*;

    /// An upgraded connection, and its peer.
    fn upgraded() -> (Guarded<DuplexStream>, DuplexStream) {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (near, far) = duplex(8 * GATHERED_BYTES_MAX);
        let mut guarded = Guarded::new(near, Deadlines::default(), permit);
        guarded.wait(State::Upgraded);
        (guarded, far)
    }

    #[tokio::test]
    async fn frames_leave_together_with_their_flush_and_keep_no_memory() {
        let (mut near, mut far) = upgraded();
        let mut heard = [0; 16];
        near.write_all(b"one").await.unwrap();
        near.write_all(b"two").await.unwrap();
        assert!(far.read(&mut heard).now_or_never().is_none(), "nothing leaves before the flush");

        near.flush().await.unwrap();

        let n_bytes = far.read(&mut heard).await.unwrap();
        assert_eq!(&heard[..n_bytes], b"onetwo");
        assert_eq!(near.gathered.capacity(), 0);
        assert!(near.read_by.is_none(), "no timer is left of the HTTP connection");
    }

    #[tokio::test]
    async fn a_close_frame_leaves_at_once_behind_what_has_gathered() {
        let (mut near, mut far) = upgraded();
        near.write_all(b"one").await.unwrap();

        near.write_all(&[CLOSE_FRAME, 2, 3, 232]).await.unwrap();

        let mut heard = [0; 16];
        let n_bytes = far.read(&mut heard).await.unwrap();
        let m_bytes = if n_bytes == 3 { far.read(&mut heard[3..]).await.unwrap() } else { 0 };
        assert_eq!(&heard[..n_bytes + m_bytes], b"one\x88\x02\x03\xe8");
    }

    #[tokio::test]
    async fn long_frames_keep_their_place_among_short_ones() {
        let (mut near, mut far) = upgraded();
        let long = vec![b'l'; 2 * GATHERED_BYTES_MAX];
        let frames: [&[u8]; 4] = [b"a", &long, b"b", &[b'm'; GATHERED_BYTES_MAX]];

        for frame in frames {
            near.write_all(frame).await.unwrap();
        }
        near.shutdown().await.unwrap();

        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert!(heard == frames.concat(), "{} bytes came", heard.len());
    }
}
