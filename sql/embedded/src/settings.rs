//! What a private server is told in its configuration file.
//!
//! The file is written anew before every start and included at the end of the one that `initdb`
//! wrote, so `alter system` still overrides it and a reload still reads it.

use std::fs;
use std::path::Path;

use crate::account::Account;
use crate::{Error, Result};

/// The file, within the data directory.
pub const FILE: &str = "skein.conf";

/// Every server has these unless its owner says otherwise. Durability is PostgreSQL's own: nothing
/// here touches fsync.
const DEFAULTS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_permissions", "0700"),
    ("password_encryption", "scram-sha-256"),
    ("max_connections", "300"),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "2GB"),
    // Every delivery is a row that soon dies; the default minute would let the table grow.
    ("autovacuum_naptime", "5s"),
    // A vanished client must lose its locks soon.
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "15000"),
    // Our statements are short: compiling one costs more than running it.
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Who may connect: whoever has the password.
const ADMISSION: &str = "\
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
";

/// Writes the settings of the next start.
pub fn write(
    directory: &Path,
    account: &Account,
    port: u16,
    sockets: &Path,
    own: &[(String, String)],
) -> Result<()> {
    let port = ("port", port.to_string());
    let sockets = ("unix_socket_directories", quote_folder(sockets));
    let defaults = DEFAULTS.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let own = own.iter().map(|(name, value)| (name.as_str(), value.clone()));
    // PostgreSQL takes the last of two.
    let all = defaults.chain([port, sockets]).chain(own);
    let text: String = all.map(|(name, value)| line(name, &value)).collect();
    put(&directory.join(FILE), account, &text)
}

/// Writes what stays as it is: who may connect, and the mention of our file.
pub fn write_once(directory: &Path, account: &Account) -> Result<()> {
    put(&directory.join("pg_hba.conf"), account, ADMISSION)?;
    let main = directory.join("postgresql.conf");
    let text = fs::read_to_string(&main).map_err(Error::file("read", &main))?;
    put(&main, account, &format!("{text}\ninclude '{FILE}'\n"))
}

fn put(path: &Path, account: &Account, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::file("write", path))?;
    account.give(path)
}

fn line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

/// The setting is a list: a folder with a comma in it needs quotes of its own.
fn quote_folder(folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() { String::new() } else { format!("\"{}\"", folder.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_value_stays_in_the_value() {
        assert_eq!(line("search_path", "o'hare"), "search_path = 'o''hare'\n");
        assert_eq!(quote_folder(Path::new("/a,b")), "\"/a,b\"");
    }
}
