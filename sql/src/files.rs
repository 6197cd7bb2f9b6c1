//! How many files a program may have open: each socket and each connection is one.
//!
//! What systems give by default, 1,024, is kept low for programs that cannot count further; as many
//! as an administrator allows are only asked for by name.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to what this process may raise it to. Where that is refused, the
/// limit stays as it was.
pub fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
