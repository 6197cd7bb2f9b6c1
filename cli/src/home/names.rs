//! What keys were called when they were last seen, so that mail of those who left has a name.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::files;

/// Names that are kept; beyond, the file begins anew.
const NAMES_MAX: usize = 10_000;

/// A memory that may be lost: then keys are shown until their names are seen again.
#[derive(Debug)]
pub struct Names {
    path: PathBuf,
    names: BTreeMap<String, String>,
}

impl Names {
    /// Reads what is remembered.
    pub fn open(path: PathBuf) -> Self {
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, names: read.unwrap_or_default() }
    }

    /// What a key was called.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.names.get(key).map(String::as_str)
    }

    /// Remembers the names of keys that had none: what a session calls itself says more than what
    /// its member was called when it joined.
    pub fn learn_new(&mut self, seen: impl IntoIterator<Item = (String, String)>) {
        let unknown: Vec<_> =
            seen.into_iter().filter(|(key, _)| !self.names.contains_key(key)).collect();
        self.learn(unknown);
    }

    /// Remembers these names.
    pub fn learn(&mut self, seen: impl IntoIterator<Item = (String, String)>) {
        let mut is_new = false;
        for (key, name) in seen {
            is_new |= self.names.insert(key, name.clone()).as_ref() != Some(&name);
        }
        if !is_new {
            return;
        }
        if self.names.len() > NAMES_MAX {
            self.names.clear();
        }
        let bytes = serde_json::to_vec(&self.names).expect("names have string keys only");
        let written = self
            .path
            .parent()
            .map_or(Ok(()), files::make_dir)
            .and_then(|()| files::write(&self.path, &bytes));
        if let Err(error) = written {
            tracing::warn!(?error, "names cannot be remembered");
        }
    }
}
