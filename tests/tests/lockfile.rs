//! Which crates may be in the product, and from where: reads `Cargo.lock` and the libraries'
//! manifests, so that it holds also where `cargo deny` is not at hand.

use std::{fs, path::Path};

/// Crates that must not be in the tree, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "TLS is rustls, so that no system library decides what works"),
    ("openssl-sys", "TLS is rustls, so that no system library decides what works"),
    ("native-tls", "TLS is rustls, so that no system library decides what works"),
    ("aws-lc-rs", "ring is the one provider; this one takes minutes to build"),
    ("aws-lc-sys", "ring is the one provider; this one takes minutes to build"),
    ("sodiumoxide", "unmaintained; libsodium-rs took its place"),
    ("rustls-pemfile", "unmaintained; rustls reads PEM itself"),
    ("cron-parser", "loops on a step of zero"),
];

/// The one registry, as a lock file spells it; also where a mirror stands in for it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The libraries, whose errors are types.
const LIBRARIES: &[&str] =
    &["openapi", "openapi/wire", "openapi/crypto", "sql", "sql/embedded", "fetch", "edge"];

/// What a library must not depend on: its callers could not tell one error from another.
const NOT_IN_LIBRARIES: &[&str] = &["anyhow"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of `key = "text"` in these lines.
fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

/// What is wrong with a lock file.
fn lock_faults(lock: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for block in lock.split("[[").skip(1) {
        let Some(package) = block.strip_prefix("package]]") else {
            faults.push(format!("a patch that nothing uses: {}", block.trim()));
            continue;
        };
        let name = value(package, "name").unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            faults.push(format!("{name} is banned: {why}"));
        }
        match value(package, "source") {
            Some(REGISTRY) if value(package, "checksum").is_some() => (),
            Some(REGISTRY) => faults.push(format!("{name} has no checksum")),
            Some(source) => faults.push(format!("{name} comes from {source}")),
            None if name == "skein" || name.starts_with("skein-") => (),
            None => faults.push(format!("{name} is a path of somebody else's")),
        }
    }
    faults
}

/// The crates in a manifest's `[dependencies]`, those of single targets included; development and
/// build dependencies reach no caller.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            let (above, last) = header.rsplit_once('.').unwrap_or(("", header));
            inside = last == "dependencies";
            if above == "dependencies" || above.ends_with(".dependencies") {
                found.push(last);
            }
        } else if inside && !line.starts_with('#') && line.contains('=') {
            let key = line.split(['=', '.']).next().unwrap_or_default();
            found.push(key.trim().trim_matches('"'));
            // A renamed one: `other = { package = "name" }`.
            let renamed = line.split("package").nth(1).and_then(|rest| rest.split('"').nth(1));
            found.extend(renamed);
        }
    }
    found
}

#[test]
fn the_lock_file_has_no_banned_crate_and_no_foreign_source() {
    let lock = read("Cargo.lock");

    assert!(lock.matches("[[package]]").count() > 50, "that is no lock file of this workspace");
    assert_eq!(lock_faults(&lock), Vec::<String>::new());
}

#[test]
fn no_library_depends_on_what_hides_its_errors() {
    for library in LIBRARIES {
        let manifest = read(&format!("{library}/Cargo.toml"));
        let dependencies = dependencies(&manifest);

        for banned in NOT_IN_LIBRARIES {
            assert!(!dependencies.contains(banned), "{library} depends on {banned}");
        }
    }
}

#[test]
fn a_bad_lock_file_is_seen() {
    let package = |name: &str, rest: &str| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n{rest}\n\n")
    };
    let good = format!("source = \"{REGISTRY}\"\nchecksum = \"00\"");
    for (name, rest, fault) in [
        ("serde", &*good, None),
        ("skein-wire", "", None),
        ("openssl-probe", &*good, None),
        ("openssl", &*good, Some("openssl is banned")),
        ("aws-lc-sys", &*good, Some("aws-lc-sys is banned")),
        ("serde", &*format!("source = \"{REGISTRY}\""), Some("no checksum")),
        ("serde", "source = \"git+https://a.example/serde#00\"", Some("comes from git+")),
        ("serde", "source = \"registry+https://a.example/index\"", Some("comes from registry+")),
        ("serde", "source = \"sparse+https://a.example/\"", Some("comes from sparse+")),
        ("serde", "", Some("path of somebody else's")),
    ] {
        let lock = format!("version = 4\n\n{}", package("libc", &good) + &package(name, rest));

        let faults = lock_faults(&lock);

        assert_eq!(faults.len(), usize::from(fault.is_some()), "{name} {rest}: {faults:?}");
        assert!(fault.is_none_or(|fault| faults[0].contains(fault)), "{name} {rest}: {faults:?}");
    }
    let unused = "[[patch.unused]]\nname = \"serde\"\nversion = \"1.0.0\"\n";
    assert_eq!(lock_faults(unused).len(), 1);
}

#[test]
fn a_dependency_is_seen_however_it_is_written() {
    for section in [
        "[dependencies]\nanyhow.workspace = true",
        "[dependencies]\nserde = \"1\"\nanyhow = \"1\"",
        "[dependencies]\n\"anyhow\" = { version = \"1\" }",
        "[dependencies]\nfailure = { package = \"anyhow\", version = \"1\" }",
        "[dependencies.anyhow]\nworkspace = true",
        "[target.'cfg(unix)'.dependencies]\nanyhow = \"1\"",
        "[target.'cfg(unix)'.dependencies.anyhow]\nversion = \"1\"",
    ] {
        assert!(dependencies(section).contains(&"anyhow"), "{section}");
    }
    for section in [
        "[dev-dependencies]\nanyhow = \"1\"",
        "[dependencies]\nserde = \"1\"\n\n[dev-dependencies]\nanyhow = \"1\"",
        "[dependencies]\n# anyhow = \"1\"\nserde = \"1\" # not anyhow",
        "[package]\nname = \"anyhow\"",
    ] {
        assert!(!dependencies(section).contains(&"anyhow"), "{section}");
    }
}
