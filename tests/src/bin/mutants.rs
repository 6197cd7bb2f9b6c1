//! `mutants`: breaks each rule of delivery in a scratch copy, and sees the tests turn red.
//!
//! A mutant is `tests/mutants/NAME.patch`: a line on what it breaks, a `Run:` line with the
//! arguments of `cargo test` for the test that has to notice (`--test points -- --exact NAME`), and
//! a diff. The copy and its build are kept in the cache folder, so that only what a mutant touches
//! is built again. A mutant that does not apply, does not compile, or is not noticed is a failure,
//! and so is a test that is red without its mutant.
//!
//! Arguments: the names of mutants; none: all of them.

use std::{
    collections::HashMap,
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long the test of a mutant may run: one that hangs has noticed.
const TEST_PATIENCE: Duration = Duration::from_secs(300);
/// The packages of every build: another choice would change the features of what they depend on, and
/// build all of that again.
const PACKAGES: [&str; 6] = ["-p", "skein-tests", "-p", "skein-edge", "-p", "skein-worker"];
/// Programs that tests start; cargo builds those of other packages only when it is told.
const PROGRAMS: [&str; 4] = ["--bin", "skein-edge", "--bin", "skein-worker"];

struct Mutant {
    name: String,
    patch: PathBuf,
    run: Vec<String>,
}

fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let mut mutants = read(Path::new("tests/mutants"));
    mutants.retain(|mutant| wanted.is_empty() || wanted.contains(&mutant.name));
    if mutants.is_empty() {
        eprintln!("no such mutant; run this from the root of the repository");
        return ExitCode::FAILURE;
    }
    let copy = Copy::new();
    let mut is_green: HashMap<Vec<String>, bool> = HashMap::new();
    let mut failures = Vec::new();
    copy.refresh();
    for mutant in &mutants {
        if !is_green.contains_key(&mutant.run) {
            let green = copy.builds(&mutant.run) && copy.passes(&mutant.run);
            println!("{} without a mutant: {}", mutant.run.join(" "), word(green));
            is_green.insert(mutant.run.clone(), green);
        }
    }
    for mutant in &mutants {
        let since = Instant::now();
        copy.refresh();
        let outcome = if !is_green[&mutant.run] {
            Err("its test is red without it")
        } else if !copy.apply(&mutant.patch) {
            Err("it does not apply")
        } else if !copy.builds(&mutant.run) {
            Err("it does not compile")
        } else if copy.passes(&mutant.run) {
            Err("NOT NOTICED")
        } else {
            Ok(())
        };
        let seconds = since.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("{}: caught, {seconds} s", mutant.name),
            Err(why) => {
                println!("{}: {why}, {seconds} s", mutant.name);
                failures.push(mutant.name.clone());
            }
        }
    }
    println!("{} mutants, {} not caught {failures:?}", mutants.len(), failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn word(is_green: bool) -> &'static str {
    if is_green { "green" } else { "RED" }
}

fn read(folder: &Path) -> Vec<Mutant> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut mutants: Vec<Mutant> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "patch"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a patch can be read");
            let run = text.lines().find_map(|line| line.strip_prefix("Run: "));
            let run = run.unwrap_or_else(|| panic!("{} has no `Run:` line", path.display()));
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            let patch = std::path::absolute(&path).expect("there is a working directory");
            Mutant { name, patch, run: run.split_whitespace().map(str::to_owned).collect() }
        })
        .collect();
    mutants.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    mutants
}

/// Removes the files of a folder of the copy that are not to stay, by their names in the work tree.
fn remove_others(tree: &Path, folder: &Path, stays: &impl Fn(&Path) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(tree).expect("it is in the copy");
        if path.is_dir() {
            remove_others(tree, &path, stays);
        } else if !stays(name) {
            fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// A copy of the work tree, with a build of its own.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let folder = skein_embedded::cache_folder().join("mutants");
        Self { tree: folder.join("tree"), target: folder.join("target") }
    }

    /// Makes the copy what the work tree is. Files that are the same are left alone, so that cargo
    /// does not build them again; those that are not in the work tree any more go.
    fn refresh(&self) {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .expect("git is there");
        let listed = String::from_utf8(listed.stdout).expect("our files have plain names");
        remove_others(&self.tree, &self.tree, &|name| {
            listed.split('\0').any(|listed| Path::new(listed) == name) && name.exists()
        });
        for name in listed.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (Path::new(name), self.tree.join(name));
            // A file that was removed and is still in the index.
            let Ok(wanted) = fs::read(from) else { continue };
            if fs::read(&to).is_ok_and(|there| there == wanted) {
                continue;
            }
            fs::create_dir_all(to.parent().expect("a file is in a folder"))
                .and_then(|()| fs::write(&to, wanted))
                .unwrap_or_else(|error| panic!("{}: {error}", to.display()));
        }
    }

    fn apply(&self, patch: &Path) -> bool {
        let mut apply = Command::new("git");
        // In a folder of its own: whatever repository is above it is not meant.
        apply.args(["apply", "-C1"]).arg(patch).current_dir(&self.tree);
        apply.env("GIT_CEILING_DIRECTORIES", self.tree.parent().expect("it has a parent"));
        apply.status().is_ok_and(|status| status.success())
    }

    fn builds(&self, run: &[String]) -> bool {
        let at = run.iter().position(|word| word == "--").unwrap_or(run.len());
        let built = self.cargo("build").args(PROGRAMS).args(&run[..at]).status();
        built.is_ok_and(|status| status.success())
    }

    fn passes(&self, run: &[String]) -> bool {
        let mut test = self.cargo("test");
        // In a group of its own, so that nothing it started outlives it.
        let test = test.args(run).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut test = test.spawn();
        let test = test.as_mut().expect("cargo can be started");
        let since = Instant::now();
        while since.elapsed() < TEST_PATIENCE {
            if let Some(status) = test.try_wait().expect("it is our child") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It has hung, which is not passing.
        let group = i32::try_from(test.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = test.wait();
        false
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([command, "--locked", "--quiet"]).args(PACKAGES).current_dir(&self.tree);
        cargo.env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}
