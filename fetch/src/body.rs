//! Reading an answer's body within bounds.
//!
//! What comes is counted, and so is what becomes of it: a body that unpacks to more than its limit
//! is given up at the limit, however little was sent, and one that unpacks to nothing ends at the
//! same number of bytes. All bodies that are being read share one budget of memory, of which one
//! member's bodies get a share.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use skein_wire::limit::{
    FETCH_BODIES_BYTES_MAX, FETCH_BODIES_PER_MEMBER_BYTES_MAX, FETCH_BODY_BYTES_MAX, FETCH_STALL,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{FetchError, detail};
use crate::fetcher::failure;
use crate::shares::Shares;

/// The step in which memory is taken from the budget.
const STEP_BYTES: usize = 16 * 1024;

/// The memory of all bodies that are being read, in steps.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    of_member: Shares<i64>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(FETCH_BODIES_BYTES_MAX / STEP_BYTES)),
            of_member: Shares::new(FETCH_BODIES_PER_MEMBER_BYTES_MAX / STEP_BYTES),
        }
    }

    /// Reads the body of `answer`, which this member asked for, to its end.
    pub(crate) async fn read(
        &self,
        member: Option<i64>,
        mut answer: Response,
    ) -> Result<Vec<u8>, FetchError> {
        let share = member.map(|member| self.of_member.of(member));
        let rooms = share.into_iter().chain([self.all.clone()]);
        let rooms = rooms.map(|from| Room { from, taken: None }).collect();
        let mut unpacking = Unpacking::of(&answer, Bounded { bytes: Vec::new(), rooms })?;
        let mut n_came = 0;
        loop {
            let chunk = timeout(FETCH_STALL, answer.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| FetchError::Stalled)?.map_err(|e| failure(&e))?
            else {
                return if n_came == 0 { Ok(Vec::new()) } else { unpacking.finish() };
            };
            n_came += chunk.len();
            if n_came > FETCH_BODY_BYTES_MAX {
                return Err(FetchError::BodyTooLong);
            }
            unpacking.write(&chunk)?;
        }
    }
}

/// A body on its way through what unpacks it.
enum Unpacking {
    Plain(Bounded),
    // What it unpacks into is as large as the other, and there is one of either a request.
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Unpacking {
    fn of(answer: &Response, into: Bounded) -> Result<Self, FetchError> {
        let mut named = answer.headers().get_all(CONTENT_ENCODING).iter();
        let (first, second) = (named.next(), named.next());
        let name = first.map_or(b"".as_slice(), |value| value.as_bytes());
        let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
        match &*name {
            _ if second.is_some() => Err(FetchError::Encoding("several at once".into())),
            "" | "identity" => Ok(Self::Plain(into)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(into)))),
            _ => Err(FetchError::Encoding(detail(&name))),
        }
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        match self {
            Self::Plain(body) => body.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
        .map_err(fault)
    }

    fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Plain(body) => Ok(body.bytes),
            Self::Gzip(decoder) => Ok(decoder.finish().map_err(fault)?.bytes),
        }
    }
}

/// What [`Bounded`] refused with, or what the decoder could not unpack.
fn fault(error: io::Error) -> FetchError {
    let text = error.to_string();
    let ours = error.into_inner().and_then(|inner| inner.downcast::<FetchError>().ok());
    ours.map_or_else(|| FetchError::Broken(detail(&text)), |ours| *ours)
}

/// Bytes up to the limit of a body, and only for as long as there is memory for them.
struct Bounded {
    bytes: Vec<u8>,
    /// The member's, if there is one, and everybody's.
    rooms: Vec<Room>,
}

impl Bounded {
    fn take(&mut self, n_bytes: usize) -> Result<(), FetchError> {
        self.rooms.iter_mut().try_for_each(|room| room.take(n_bytes.div_ceil(STEP_BYTES)))
    }
}

/// Memory, in steps, and what is taken of it.
struct Room {
    from: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Takes what is missing to so many steps.
    fn take(&mut self, n_steps: usize) -> Result<(), FetchError> {
        let n_taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let n_more = n_steps.saturating_sub(n_taken);
        if n_more == 0 {
            return Ok(());
        }
        let n_more = u32::try_from(n_more).map_err(|_| FetchError::BodyTooLong)?;
        let more = self.from.clone().try_acquire_many_owned(n_more);
        let more = more.map_err(|_| FetchError::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

impl Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let n_bytes = self.bytes.len() + part.len();
        if n_bytes > FETCH_BODY_BYTES_MAX {
            return Err(io::Error::other(FetchError::BodyTooLong));
        }
        self.take(n_bytes).map_err(io::Error::other)?;
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
