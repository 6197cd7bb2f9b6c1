//! The programs that a local mesh runs.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `skein-edge`.
    pub edge: PathBuf,
    /// `skein-worker`.
    pub worker: PathBuf,
}

impl Programs {
    /// Looks beside this very program, then on PATH.
    pub fn find() -> Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.parent().unwrap_or(Path::new("/"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> =
            std::iter::once(beside.to_owned()).chain(std::env::split_paths(&path)).collect();
        Ok(Self { edge: find("skein-edge", &folders)?, worker: find("skein-worker", &folders)? })
    }
}

fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let beside = folders.first().map(|folder| folder.display().to_string()).unwrap_or_default();
        Error::Local(format!(
            "{name} is neither in {beside} nor on PATH; `./dev up` builds it, and so does \
             `cargo build -p skein-edge -p skein-worker`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_what_builds_it() {
        let dir = tempfile::tempdir().unwrap();

        let missing = find("skein-edge", &[dir.path().to_owned()]).unwrap_err().to_string();

        assert!(missing.contains("skein-edge") && missing.contains("cargo build"), "{missing}");
    }

    #[test]
    fn the_first_folder_that_has_it_is_taken() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let folders = dirs.each_ref().map(|dir| dir.path().to_owned());
        std::fs::write(folders[1].join("skein-edge"), "").unwrap();
        assert_eq!(find("skein-edge", &folders).unwrap(), folders[1].join("skein-edge"));

        std::fs::write(folders[0].join("skein-edge"), "").unwrap();

        assert_eq!(find("skein-edge", &folders).unwrap(), folders[0].join("skein-edge"));
    }
}
