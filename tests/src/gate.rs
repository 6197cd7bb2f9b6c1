//! A gate: a fail point of the `file` form, seen from the test.

use std::{fs, path::PathBuf, time::Duration};

use tokio::time::{sleep, timeout};

/// How long a program may take to come to its gate.
const HIT_PATIENCE: Duration = Duration::from_secs(20);

/// A place in a program where it waits until the test lets it go on.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Gate {
    /// A gate that is shut.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn shut() -> Self {
        let gate = Self::open();
        gate.close();
        gate
    }

    /// A gate that is open, for now.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        Self { path: folder.path().join("gate"), _folder: folder }
    }

    /// What `SKEIN_FAIL` says, to stop at this point whenever the gate is shut.
    pub fn at(&self, point: &str) -> String {
        format!("{point}=file:{}", self.path.display())
    }

    /// Shuts it: whoever comes next waits.
    ///
    /// # Panics
    /// When its folder is gone.
    pub fn close(&self) {
        fs::remove_file(self.hit_path()).ok();
        fs::write(&self.path, []).expect("the gate's folder is there");
    }

    /// Lets whoever waits go on, and everybody after.
    pub fn let_go(&self) {
        fs::remove_file(&self.path).ok();
    }

    /// Waits until somebody stands at the gate.
    ///
    /// # Panics
    /// When nobody comes.
    pub async fn hit(&self) {
        let came = async {
            while !self.hit_path().exists() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(HIT_PATIENCE, came).await.expect("the program comes to its gate");
    }

    fn hit_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".hit");
        path.into()
    }
}
