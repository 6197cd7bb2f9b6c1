//! Reading an answer's body within bounds.
//!
//! What comes is counted, and so is what becomes of it: a body that unpacks to more than its limit
//! is given up at the limit, however little was sent, and one that unpacks to nothing ends at the
//! same number of bytes. All bodies that are being read share one budget of memory.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use skein_wire::limit::{FETCH_BODIES_BYTES_MAX, FETCH_BODY_BYTES_MAX, FETCH_STALL};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::{FetchError, detail};
use crate::fetcher::failure;

/// The step in which memory is taken from the budget.
const STEP_BYTES: usize = 16 * 1024;

/// The memory of all bodies that are being read, in steps.
pub(crate) struct Budget(Semaphore);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(FETCH_BODIES_BYTES_MAX / STEP_BYTES))
    }

    /// Reads the body of `answer` to its end.
    pub(crate) async fn read(&self, mut answer: Response) -> Result<Vec<u8>, FetchError> {
        let mut unpacking = Unpacking::of(&answer, Bounded::new(&self.0))?;
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
enum Unpacking<'a> {
    Plain(Bounded<'a>),
    // What it unpacks into is as large as the other, and there is one of either a request.
    Gzip(Box<MultiGzDecoder<Bounded<'a>>>),
}

impl<'a> Unpacking<'a> {
    fn of(answer: &Response, into: Bounded<'a>) -> Result<Self, FetchError> {
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
struct Bounded<'a> {
    bytes: Vec<u8>,
    budget: &'a Semaphore,
    taken: Option<SemaphorePermit<'a>>,
}

impl<'a> Bounded<'a> {
    fn new(budget: &'a Semaphore) -> Self {
        Self { bytes: Vec::new(), budget, taken: None }
    }

    fn take(&mut self, n_bytes: usize) -> Result<(), FetchError> {
        let n_taken = self.taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        let n_more = n_bytes.div_ceil(STEP_BYTES).saturating_sub(n_taken);
        let n_more = u32::try_from(n_more).map_err(|_| FetchError::BodyTooLong)?;
        let more = self.budget.try_acquire_many(n_more).map_err(|_| FetchError::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

impl Write for Bounded<'_> {
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
