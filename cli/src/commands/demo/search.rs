//! Looks for texts in everything that is in a folder.

use std::fs;
use std::io::BufRead;
use std::path::Path;

use skein_crypto::direct::Sealed;

use crate::{Error, Result};

/// What a search has found so far.
#[derive(Debug, Default)]
pub struct Found {
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: usize,
    /// What nobody but the two may read, as it is or merely encoded.
    pub words: usize,
    /// What was sent.
    pub ciphertexts: usize,
}

impl Found {
    /// Looks into every file of the folder and of those in it.
    pub fn search(&mut self, folder: &Path, plain: &[String], sealed: &[Sealed]) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(Error::at(folder))? {
            let path = entry?.path();
            // A file of a running server may go at any moment.
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                self.search(&path, plain, sealed)?;
            } else if meta.is_file()
                && let Ok(bytes) = fs::read(&path)
            {
                self.files += 1;
                self.bytes += bytes.len();
                self.words += plain.iter().map(|text| count(&bytes, text)).sum::<usize>();
                self.ciphertexts +=
                    sealed.iter().map(|one| count(&bytes, &one.ciphertext)).sum::<usize>();
            }
        }
        Ok(())
    }
}

/// How often `text`, which is not empty, stands in `bytes`.
fn count(mut bytes: &[u8], text: &str) -> usize {
    let (first, rest) = text.as_bytes().split_first().expect("it is not empty");
    let mut found = 0;
    // Leaps from one first byte to the next, which the standard library does fast.
    while bytes.skip_until(*first).is_ok_and(|skipped| skipped > 0) {
        found += usize::from(bytes.starts_with(rest));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_counts_and_nothing_else() {
        assert_eq!(count(b"", "aab"), 0);
        assert_eq!(count(b"aaab aab\0aab", "aab"), 3);
        assert_eq!(count(b"aa", "aab"), 0);
        assert_eq!(count(b"xaa", "aa"), 1);
    }
}
