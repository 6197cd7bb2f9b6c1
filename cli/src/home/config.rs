//! What a person chose for all of a home, in `config.json`: nothing that some program does not read.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::{Error, Result};

/// The present shape of the file.
const VERSION: u32 = 1;

/// The choices. Each may be absent, and then the program decides as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Of the file, when it was written.
    version: u32,
    /// What others are to call us in meshes that are joined or created from now on; the user name
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which mesh is meant when several are joined and none is named; an error when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// What `skein mcp` tells its host of messages that arrive, in the words of its option; `push`
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_mode: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { version: VERSION, name: None, mesh: None, message_mode: None }
    }
}

impl Settings {
    /// Reads the file; one that is not there is one in which nothing was chosen.
    pub fn read(path: &Path) -> Result<Self> {
        let damaged = |detail: String| Error::Damaged { path: path.to_owned(), detail };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::at(path)(error)),
        };
        let settings: Self =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if settings.version > VERSION {
            return Err(damaged("a newer skein wrote it".into()));
        }
        Ok(settings)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("settings have string keys only");
        files::write(path, (text + "\n").as_bytes()).map_err(Error::at(path))
    }
}
