//! The data folder of a server, and what is in it.
//!
//! It holds the directory `main` of PostgreSQL, the `password`, the `log`, the folder `socket` and
//! a `lock`. Who holds the lock owns the folder; the system lets go of it when the owner is gone,
//! however that happened, and the next owner ends what was left running and recovers.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::account::Account;
use crate::address::random_password;
use crate::template::{Kind, Source};
use crate::{Error, Result};

/// The system's limit for the path of a socket is 104 to 108 bytes, and PostgreSQL appends a name.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;

/// A log above this is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 10_000_000;

/// Where root keeps data that the server's user cannot reach at the place that was asked for.
const REACHABLE: &str = "/var/lib/skein";

/// Makes the data directory if it is not there; gives the password.
pub fn prepare(home: &Path, source: &Source, kind: Kind) -> Result<String> {
    let (main, path) = (home.join("main"), home.join("password"));
    if main.is_dir() {
        let password = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        return Ok(password.trim().to_owned());
    }
    let password = random_password();
    let mut file = File::options();
    let file = file.write(true).create(true).truncate(true).mode(0o600);
    // Before the directory: one without a password would be lost.
    let mut file = file.open(&path).map_err(Error::file("write", &path))?;
    file.write_all(password.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Error::file("write", &path))?;
    source.copy(&main, &password, kind)?;
    Ok(password)
}

/// The named folder, or where its link leads to.
///
/// Root's home is closed to the user that runs the server for root. Then the data lies elsewhere,
/// and a link stands where it was asked for.
pub fn lasting(data: &Path, account: &Account) -> Result<PathBuf> {
    let data = std::path::absolute(data).map_err(Error::file("find", data))?;
    if let (Some(parent), false) = (data.parent(), data.exists()) {
        fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
        if account.enters(parent) {
            fs::create_dir(&data).map_err(Error::file("make", &data))?;
        } else {
            let place = Path::new(REACHABLE).join(hex::encode(rand::random::<[u8; 8]>()));
            fs::create_dir_all(&place).map_err(Error::file("make", &place))?;
            symlink(&place, &data).map_err(Error::file("make", &data))?;
        }
    }
    let data = data.canonicalize().map_err(Error::file("find", &data))?;
    if account.enters(&data) {
        return Ok(data);
    }
    let user = account.steward().unwrap_or("owner").to_owned();
    Err(Error::Unreachable { user, path: data })
}

/// A folder of ours that everybody may pass through and nobody may list.
pub fn temporary(temporary: &mut Vec<TempDir>) -> Result<PathBuf> {
    let parent = std::env::temp_dir();
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("skein-").permissions(fs::Permissions::from_mode(0o711));
    let folder = builder.tempdir().map_err(Error::file("make a folder in", &parent))?;
    let path = folder.path().canonicalize().map_err(Error::file("find", folder.path()))?;
    temporary.push(folder);
    Ok(path)
}

/// The socket folder: beside the data, unless that path is too long for a socket.
pub fn sockets(home: &Path, account: &Account, temporary: &mut Vec<TempDir>) -> Result<PathBuf> {
    let mut folder = home.join("socket");
    if folder.as_os_str().len() > SOCKET_FOLDER_BYTES_MAX {
        folder = self::temporary(temporary)?.join("socket");
    }
    if !folder.exists() {
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(Error::file("make", &folder))?;
        account.give(&folder)?;
    }
    Ok(folder)
}

/// Removes what a killed server left: its lock would stop the next one on the same port.
pub fn empty(sockets: &Path) -> Result<()> {
    for file in fs::read_dir(sockets).map_err(Error::file("read", sockets))?.flatten() {
        fs::remove_file(file.path()).map_err(Error::file("remove", &file.path()))?;
    }
    Ok(())
}

/// Begins the log anew when it has become large.
pub fn shorten(log: &Path) -> Result<()> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::remove_file(log).map_err(Error::file("remove", log))?;
    }
    Ok(())
}
