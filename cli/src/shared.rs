//! A folder that a session lets its peers read, and nothing else of this machine.
//!
//! A path is taken relative to the folder. Links are followed first and judged by where they end, so
//! nothing leaves the folder by one; what lies behind such a link is not there, whether or not it
//! is. What a listing leaves out is not shared either: names that begin with a dot, which hold
//! secrets and settings. Refusals are worded as in the contract.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;
use skein_wire::limit::{
    PEER_DIR_DEPTH_MAX, PEER_DIR_ENTRIES_MAX, PEER_FILE_BYTES_MAX, PEER_PATTERN_BYTES_MAX,
};
use skein_wire::peer_files as words;

/// What listing one folder may look at; a folder of more is not searched to its end.
const LOOKED_AT_MAX: usize = 20_000;

/// A folder that a session shares.
#[derive(Debug, Clone)]
pub struct Shared {
    /// As it was given: paths may begin with it.
    given: PathBuf,
    /// Without links.
    root: PathBuf,
}

impl Shared {
    /// Shares this folder.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let root = dir.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, words::NOT_A_DIR));
        }
        Ok(Self { given: std::path::absolute(dir)?, root })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads a file for a peer, or says in the contract's words why not.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let path = self.find(path, words::FILE_OUTSIDE, words::NO_FILE)?;
        read_whole(&path)
    }

    /// Lists a folder for a peer: paths relative to it, sorted, folders with a `/` at their end.
    pub fn list(&self, dir: &str, pattern: Option<&str>) -> Result<Vec<String>, String> {
        let dir = self.find(dir, words::DIR_OUTSIDE, words::NO_DIR)?;
        if !dir.is_dir() {
            return Err(words::NOT_A_DIR.into());
        }
        let pattern = pattern.unwrap_or_default();
        if pattern.len() > PEER_PATTERN_BYTES_MAX {
            return Err(words::LONG_PATTERN.into());
        }
        let pattern = Pattern::new(pattern);
        let mut listing = Listing { root: &self.root, pattern, entries: Vec::new(), looked_at: 0 };
        listing.walk(&dir, "", 0).map_err(|error| format!("read error: {error}"))?;
        listing.entries.sort_unstable();
        Ok(listing.entries)
    }

    /// Where a path of a peer leads, if that is inside.
    fn find(&self, path: &str, outside: &str, missing: &str) -> Result<PathBuf, String> {
        if path.contains("..") {
            return Err(words::TRAVERSAL.into());
        }
        // An absolute path takes the place of the folder's own.
        let path = self.root.join(path);
        let inner = path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(&self.given));
        // Judged before anything is looked at: what is not ours is not even said to be there.
        let inner = inner.map_err(|_| outside.to_owned())?;
        if is_hidden(inner) {
            return Err(outside.into());
        }
        // Whatever is wrong behind a link that leaves the folder would tell what is there.
        let path = self.root.join(inner).canonicalize().map_err(|_| missing.to_owned())?;
        match path.strip_prefix(&self.root) {
            Ok(inner) if !is_hidden(inner) => Ok(path),
            _ => Err(missing.into()),
        }
    }
}

/// Reads a file of at most the limit. Nothing of it is believed that was not asked of the open file:
/// it may change meanwhile, and a pipe would never end.
fn read_whole(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("read error: {error}");
    let is_file = path.metadata().map_err(failed)?.is_file();
    if !is_file {
        return Err(words::NOT_A_FILE.into());
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).expect("the flags of open fit an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(words::NOT_A_FILE.into());
    }
    let most = PEER_FILE_BYTES_MAX as u64;
    if meta.len() > most {
        return Err(words::too_large(meta.len()));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        n_bytes if n_bytes > most => Err(words::too_large(n_bytes)),
        _ => Ok(bytes),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.components().any(|part| matches!(part, Component::Normal(name) if begins_with_dot(name)))
}

fn begins_with_dot(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A listing that is being made.
struct Listing<'a> {
    root: &'a Path,
    pattern: Pattern,
    entries: Vec<String>,
    looked_at: usize,
}

impl Listing<'_> {
    fn walk(&mut self, dir: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            self.looked_at += 1;
            if self.looked_at > LOOKED_AT_MAX {
                break;
            }
            let name = entry?.file_name();
            // A name that is no text cannot be asked for either.
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with('.') {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        for name in names {
            if self.entries.len() >= PEER_DIR_ENTRIES_MAX {
                return Ok(());
            }
            // What leads nowhere, or out of the folder, is not there.
            let Ok(path) = dir.join(&name).canonicalize() else { continue };
            let is_inside = path.strip_prefix(self.root).is_ok_and(|inner| !is_hidden(inner));
            if !is_inside {
                continue;
            }
            let is_dir = path.is_dir();
            let shown = format!("{prefix}{name}{}", if is_dir { "/" } else { "" });
            if self.pattern.is_in(&name) {
                self.entries.push(shown.clone());
            }
            if is_dir && depth < PEER_DIR_DEPTH_MAX {
                // A folder that cannot be read is an entry all the same.
                let _ = self.walk(&path, &shown, depth + 1);
            }
        }
        Ok(())
    }
}

/// `*` for any text and `?` for any character, found anywhere in a name, whatever the case: pieces
/// that stand in the name one behind the other.
#[derive(Debug)]
struct Pattern(Vec<Vec<char>>);

impl Pattern {
    fn new(pattern: &str) -> Self {
        let pattern = pattern.to_lowercase();
        let pieces = pattern.split('*').filter(|piece| !piece.is_empty());
        Self(pieces.map(|piece| piece.chars().collect()).collect())
    }

    fn is_in(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        let mut rest = name.as_slice();
        // The first place of a piece leaves the most to those behind it, so no other is tried.
        self.0.iter().all(|piece| {
            let fits = |there: &[char]| {
                there.iter().zip(piece).all(|(c, wanted)| *wanted == '?' || c == wanted)
            };
            let place = rest.windows(piece.len()).position(fits);
            rest = place.map_or(&[], |at| &rest[at + piece.len()..]);
            place.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a shared one in it, and something beside that.
    fn place() -> (tempfile::TempDir, Shared) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("shared");
        fs::create_dir_all(root.join("src/deep/deeper/deepest")).unwrap();
        for (path, text) in [
            ("a.txt", "hello"),
            ("empty", ""),
            (".secret", "no"),
            ("src/main.rs", "fn main() {}"),
            ("src/.git", "no"),
            ("src/deep/deeper/deepest/x", "too deep"),
            ("../outside", "no"),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        symlink("a.txt", root.join("link")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink(".secret", root.join("open")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        symlink("src", root.join("also")).unwrap();
        let shared = Shared::new(&root).unwrap();
        (place, shared)
    }

    #[test]
    fn what_is_inside_is_read_by_whatever_path_it_has_there() {
        let (_place, shared) = place();
        let root = shared.root().to_str().unwrap().to_owned();

        assert_eq!(shared.read("a.txt").unwrap(), b"hello");
        assert_eq!(shared.read("./a.txt").unwrap(), b"hello");
        assert_eq!(shared.read("link").unwrap(), b"hello");
        assert_eq!(shared.read("also/main.rs").unwrap(), b"fn main() {}");
        assert_eq!(shared.read("empty").unwrap(), b"");
        assert_eq!(shared.read(&format!("{root}/src/main.rs")).unwrap(), b"fn main() {}");
    }

    #[test]
    fn what_is_refused_is_refused_in_the_contract_s_words() {
        let (_place, shared) = place();
        let outside = shared.root().parent().unwrap().join("outside");
        let outside = outside.to_str().unwrap();
        for (path, why) in [
            ("../outside", words::TRAVERSAL),
            ("a..b", words::TRAVERSAL),
            ("src/../../outside", words::TRAVERSAL),
            ("out", words::NO_FILE),
            ("up/outside", words::NO_FILE),
            ("up/nothing", words::NO_FILE),
            ("up/outside/x", words::NO_FILE),
            ("up", words::NO_FILE),
            (outside, words::FILE_OUTSIDE),
            ("/nowhere/at/all", words::FILE_OUTSIDE),
            ("/dev/zero", words::FILE_OUTSIDE),
            (".secret", words::FILE_OUTSIDE),
            ("open", words::NO_FILE),
            ("src/.git", words::FILE_OUTSIDE),
            (".nothing", words::FILE_OUTSIDE),
            ("nothing", words::NO_FILE),
            ("broken", words::NO_FILE),
            ("a.txt/b", words::NO_FILE),
            ("src", words::NOT_A_FILE),
            ("", words::NOT_A_FILE),
        ] {
            assert_eq!(shared.read(path), Err(why.to_owned()), "{path}");
        }
        for (path, why) in [
            ("..", words::TRAVERSAL),
            ("up", words::NO_DIR),
            ("up/nothing", words::NO_DIR),
            ("/", words::DIR_OUTSIDE),
            ("nothing", words::NO_DIR),
            ("a.txt", words::NOT_A_DIR),
        ] {
            assert_eq!(shared.list(path, None), Err(why.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_file_of_a_mebibyte_is_read_and_a_larger_one_named_by_its_size() {
        let (_place, shared) = place();
        fs::write(shared.root().join("whole"), vec![7; PEER_FILE_BYTES_MAX]).unwrap();
        fs::write(shared.root().join("more"), vec![7; PEER_FILE_BYTES_MAX + 1]).unwrap();

        assert_eq!(shared.read("whole").unwrap().len(), PEER_FILE_BYTES_MAX);
        let why = "file too large (1048577 bytes, max 1048576)";
        assert_eq!(shared.read("more"), Err(why.to_owned()));
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let (_place, shared) = place();
        let pipe = shared.root().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();

        assert_eq!(shared.read("pipe"), Err(words::NOT_A_FILE.to_owned()));
    }

    #[test]
    fn a_listing_is_sorted_goes_two_deep_and_leaves_out_what_is_not_shared() {
        let (_place, shared) = place();

        let all = shared.list("", None).unwrap();
        assert_eq!(
            all,
            [
                "a.txt",
                "also/",
                "also/deep/",
                "also/deep/deeper/",
                "also/main.rs",
                "empty",
                "link",
                "src/",
                "src/deep/",
                "src/deep/deeper/",
                "src/main.rs"
            ]
        );
        let src = ["deep/", "deep/deeper/", "deep/deeper/deepest/", "main.rs"];
        assert_eq!(shared.list("src", None).unwrap(), src);
        assert_eq!(shared.list("src", Some("*.RS")).unwrap(), ["main.rs"]);
        assert_eq!(shared.list(".", Some("deeper?")).unwrap(), [] as [&str; 0]);
        assert_eq!(
            shared.list(".", Some("eepe")).unwrap(),
            ["also/deep/deeper/", "src/deep/deeper/"]
        );
    }

    #[test]
    fn a_listing_has_its_limit() {
        let (_place, shared) = place();
        for n in 0..600 {
            fs::write(shared.root().join(format!("n{n:03}")), "").unwrap();
        }

        assert_eq!(shared.list("", None).unwrap().len(), PEER_DIR_ENTRIES_MAX);
    }

    #[test]
    fn a_pattern_has_its_limit() {
        let (_place, shared) = place();
        let longest = format!("{}.rs", "*".repeat(PEER_PATTERN_BYTES_MAX - 3));

        assert_eq!(shared.list("src", Some(&longest)).unwrap(), ["main.rs"]);
        let longer = format!("*{longest}");
        assert_eq!(shared.list("src", Some(&longer)), Err(words::LONG_PATTERN.to_owned()));
    }

    #[test]
    fn a_pattern_is_found_anywhere_and_means_what_it_says() {
        for (pattern, name, is_in) in [
            ("*.rs", "MAIN.RS", true),
            ("*.rs", "main.rs.bak", true),
            ("*.rs", "mainxrs", false),
            ("m?in", "amain", true),
            ("m?in", "min", false),
            ("a*c*e", "xxabcdexx", true),
            ("a*c*e", "eca", false),
            ("(", "a(b", true),
            ("ab?d*d", "xabcabcdd", true),
            ("ab*ab", "xabyab", true),
            ("ab*ab", "xaby", false),
            ("???", "ab", false),
            ("", "a", true),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).is_in(name), is_in, "{pattern} in {name}");
        }
    }
}
