//! The files of the log: naming, reading from a place, appending with a sync.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use skein_wire::limit::INBOX_AGE_MAX;
use tracing::warn;

use super::line::{self, Line};
use crate::client::message::Message;
use crate::files;

/// A point between two lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number.
    pub segment: u32,
    /// Bytes into it.
    pub offset: u64,
}

/// What stands in a segment after a place.
pub struct Rest {
    /// The messages, each with the offset after it.
    pub messages: Vec<(u64, Message)>,
    /// The offset after the last whole line.
    pub end: u64,
    /// Whether more stands there, without an end.
    pub is_torn: bool,
}

/// Reads a segment from `place` to its end. A segment that is gone is empty.
pub fn read(dir: &Path, place: Place) -> io::Result<Rest> {
    let mut bytes = Vec::new();
    match File::open(path(dir, place.segment, "log")) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(place.offset))?;
            file.read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    let mut read = Rest { messages: Vec::new(), end: place.offset, is_torn: false };
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let taken = match line::read(rest) {
            Line::Whole(message, taken) => {
                read.messages.push((read.end + taken as u64, *message));
                taken
            }
            Line::Damaged(taken) => {
                warn!(segment = place.segment, offset = read.end, "a line of the inbox is damaged");
                taken
            }
            Line::Torn => {
                read.is_torn = true;
                break;
            }
        };
        read.end += taken as u64;
        rest = &rest[taken..];
    }
    Ok(read)
}

/// Writes at `place`, which is the end of the log, and syncs. On failure nothing of it stays.
pub fn append(dir: &Path, place: Place, bytes: &[u8]) -> io::Result<()> {
    let mut file = files::open(&path(dir, place.segment, "log"))?;
    let written = file
        .seek(SeekFrom::Start(place.offset))
        .and_then(|_| file.write_all(bytes))
        .and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(place.offset)?;
    }
    written
}

/// Cuts what stands after `place`.
pub fn cut(dir: &Path, place: Place) -> io::Result<()> {
    let file = files::open(&path(dir, place.segment, "log"))?;
    file.set_len(place.offset)?;
    file.sync_data()
}

/// Makes an empty segment, and makes sure that it stays.
pub fn create(dir: &Path, segment: u32) -> io::Result<()> {
    files::open(&path(dir, segment, "log"))?;
    File::open(dir)?.sync_all()
}

/// Whether the segment is there.
pub fn exists(dir: &Path, segment: u32) -> bool {
    path(dir, segment, "log").exists()
}

/// The numbers of all segments, ascending.
pub fn segments(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes segments below `before` that nothing was written to for longer than ids are remembered,
/// and names them.
pub fn prune(dir: &Path, before: u32) -> io::Result<Vec<u32>> {
    let mut gone = Vec::new();
    for segment in segments(dir)?.into_iter().filter(|&segment| segment < before) {
        let written = fs::metadata(path(dir, segment, "log"))?.modified()?;
        if written.elapsed().is_ok_and(|age| age > INBOX_AGE_MAX) {
            fs::remove_file(path(dir, segment, "log"))?;
            let _ = fs::remove_file(path(dir, segment, "ids"));
            gone.push(segment);
        }
    }
    Ok(gone)
}

/// A segment's file.
pub fn path(dir: &Path, segment: u32, kind: &str) -> PathBuf {
    dir.join(format!("{segment:08}.{kind}"))
}
