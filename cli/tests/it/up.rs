//! A whole mesh on this machine: real processes, a real PostgreSQL, and what is left of them.

mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use self::processes::called;
use self::processes::{Process, family, left, processes};

const SKEIN: &str = env!("CARGO_BIN_EXE_skein");

/// A start, with a database to be initialised, on a machine that does other things as well.
const START_WITHIN: Duration = Duration::from_secs(120);

/// How long anything else may take.
const SOON: Duration = Duration::from_secs(30);

/// Between two looks at what says nothing by itself.
const LOOK: Duration = Duration::from_millis(20);

/// A folder for homes and data, which PostgreSQL's user may pass through.
pub fn folder() -> TempDir {
    for program in ["skein-edge", "skein-worker"] {
        let path = Path::new(SKEIN).with_file_name(program);
        let what = "build it first: cargo build -p skein-edge -p skein-worker";
        assert!(path.is_file(), "{} is missing; {what}", path.display());
    }
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap()
}

/// `skein` in this home, undisturbed by the environment of the tests.
pub fn skein(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(SKEIN);
    command.args(arguments).env("SKEIN_HOME", home).env("USER", "owner");
    for name in ["DATABASE_URL", "SKEIN_LISTEN", "SKEIN_OPERATOR_TOKEN", "SKEIN_PUBLIC_URL"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end, which must be a good one; what it printed is JSON.
pub fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = skein(home, arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Looks until `look` sees something.
fn wait<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        match look() {
            Some(seen) => return seen,
            None if Instant::now() < until => thread::sleep(LOOK),
            None => panic!("{what}: not within {SOON:?}"),
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// `skein up` on free ports, for a program.
fn up(home: &Path, data: &Path) -> Command {
    let mut command = skein(home, &["up", "--json", "--port", "0", "--data"]);
    command.arg(data).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A running `skein up`.
pub struct Up {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it said when it was ready.
    ready: Value,
}

impl Up {
    pub fn start(home: &Path, data: &Path, arguments: &[&str]) -> Self {
        let mut command = up(home, data);
        command.args(arguments);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let pid = child.id();
        // A start that hangs is killed, which ends the line that is waited for.
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let watch = thread::spawn(move || {
            if ended.recv_timeout(START_WITHIN).is_err() {
                signal(pid, Signal::KILL);
            }
        });
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        done.send(()).unwrap();
        watch.join().unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("skein up said {line:?} and {said}");
        });
        Self { child, out, ready }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn text(&self, field: &str) -> String {
        self.ready[field].as_str().unwrap().to_owned()
    }

    pub fn list(&self, field: &str) -> Vec<String> {
        serde_json::from_value(self.ready[field].clone()).unwrap()
    }

    /// Ctrl-C. Returns everything that ran, and whether it ended well.
    fn interrupt(mut self) -> (BTreeMap<u32, Process>, bool, String) {
        let family = family(self.pid());
        signal(self.pid(), Signal::INT);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        (family, status.success(), rest)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Once: a second one would not wait for the children, and their folder goes next.
        if let Ok(None) = self.child.try_wait() {
            signal(self.pid(), Signal::INT);
        }
        let until = Instant::now() + SOON;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > until {
                let _ = self.child.kill();
            }
            thread::sleep(LOOK);
        }
    }
}

#[test]
fn up_prints_one_line_and_keeps_its_secrets_to_its_owner() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--edges", "2"]);

    let fields: Vec<_> = up.ready.as_object().unwrap().keys().cloned().collect();
    let mut wanted = ["edges", "http", "databaseUrl", "meshId", "invite", "operatorToken"];
    wanted.sort_unstable();
    assert_eq!(fields, wanted);
    for (socket, http) in up.list("edges").iter().zip(up.list("http")) {
        assert_eq!(*socket, format!("{}/ws", http.replacen("http", "ws", 1)));
        assert!(http.starts_with("http://127.0.0.1:"), "{http}");
    }
    assert_eq!(up.list("edges").len(), 2);
    assert!(up.text("invite").starts_with(&format!("{}/join/", up.list("http")[0])));
    assert!(up.text("databaseUrl").starts_with("postgres://"));
    for secret in ["operator-token", "deployment-key"] {
        let mode = fs::metadata(data.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert_eq!(fs::read_to_string(data.join("operator-token")).unwrap(), up.text("operatorToken"));
    let secrets = ["operator-token", "deployment-key"]
        .map(|name| fs::read_to_string(data.join(name)).unwrap());
    for process in family(up.pid()).values() {
        assert!(secrets.iter().all(|secret| !process.line.contains(secret)), "{process:?}");
    }
    let (.., rest) = up.interrupt();
    assert_eq!(rest, "", "one line, and no more");
    for log in ["edge-1", "edge-2", "worker"] {
        let log = fs::read_to_string(data.join("log").join(format!("{log}.log"))).unwrap();
        assert!(!log.is_empty());
        assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
    }
}

#[test]
fn two_homes_join_and_talk_through_two_edges() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--edges", "2"]);
    let [ann, bob] = ["ann", "bob"].map(|name| folder.path().join(name));
    json(&ann, &["join", "--name", "ann", &up.text("invite")]);
    let invite = json(&home, &["invite"])["link"].as_str().unwrap().to_owned();
    json(&bob, &["join", "--name", "bob", &invite]);
    // Bob knows the other edge first.
    let mesh = bob.join(format!("meshes/{}.json", up.text("meshId")));
    let mut membership: Value = serde_json::from_slice(&fs::read(&mesh).unwrap()).unwrap();
    membership["edges"].as_array_mut().unwrap().rotate_left(1);
    fs::write(&mesh, membership.to_string()).unwrap();
    let edges = [&ann, &bob].map(|home| json(home, &["status"])[0]["edge"].clone());
    assert_ne!(edges[0], edges[1]);

    let mut follow = skein(&bob, &["inbox", "--follow", "--json"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    wait("bob is here", || {
        let peers = json(&ann, &["peers"]).to_string();
        peers.contains("\"bob\"").then_some(())
    });
    let sent = json(&ann, &["send", "bob", "over two edges"]);
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let arrived = lines.find(|line| line.as_ref().unwrap().contains("over two edges"));
    let message_id = sent[0]["messageId"].as_str().unwrap();
    // It is shown when it is in the inbox; the word of that is on its way to the edge.
    wait("it is settled", || {
        let trace = json(&ann, &["trace", message_id]);
        (trace["server"]["delivered"] == true).then_some(())
    });
    signal(follow.id(), Signal::TERM);
    follow.wait().unwrap();

    let arrived: Value = serde_json::from_str(&arrived.unwrap().unwrap()).unwrap();
    assert_eq!(arrived["kind"], "direct", "{arrived}");
    let (_, ended_well, _) = up.interrupt();
    assert!(ended_well);
}

#[test]
fn ctrl_c_leaves_no_process_and_the_next_start_finds_the_same_mesh() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--edges", "2"]);
    let (mesh, token, invite) = (up.text("meshId"), up.text("operatorToken"), up.text("invite"));
    let programs = ["skein-edge", "skein-worker", "postgres"].map(|name| called(up.pid(), name));
    assert_eq!((programs[0].len(), programs[1].len()), (2, 1));
    assert!(!programs[2].is_empty());

    let (family, ended_well, _) = up.interrupt();

    assert!(ended_well);
    assert_eq!(left(&family), Vec::<String>::new());
    let again = Up::start(&home, &data, &["--edges", "1"]);
    assert_eq!((again.text("meshId"), again.text("operatorToken")), (mesh.clone(), token));
    assert_ne!(again.text("invite"), invite, "it is a fresh one");
    let mine = json(&home, &["mesh", "info"]);
    assert_eq!(mine["mesh"]["id"].as_str(), Some(mesh.as_str()));
}

#[test]
fn sigterm_in_the_middle_of_a_start_leaves_no_process() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    for program in ["/postgres", "skein-edge"] {
        let mut child = up(&home, &data).spawn().unwrap();
        wait(program, || called(child.id(), program).first().copied());
        let family = family(child.id());

        signal(child.id(), Signal::TERM);
        let ended = child.wait().unwrap();

        assert!(ended.success(), "{ended}");
        assert_eq!(left(&family), Vec::<String>::new());
    }
}

#[test]
fn a_killed_up_takes_its_children_with_it() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let mut up = Up::start(&home, &data, &["--edges", "2"]);
    let family = family(up.pid());
    assert!(family.len() > 4, "{family:?}");

    up.child.kill().unwrap();
    up.child.wait().unwrap();

    wait("everything ends", || left(&family).is_empty().then_some(()));
    Up::start(&home, &data, &[]);
}

#[test]
fn what_dies_is_started_again() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &[]);
    for program in ["skein-edge", "skein-worker"] {
        let before = called(up.pid(), program)[0];

        signal(before, Signal::KILL);

        let is_new = |pid: &u32| *pid != before;
        wait(program, || called(up.pid(), program).into_iter().find(is_new));
    }
    wait("the edge answers", || {
        let status = skein(&home, &["status"]).output().unwrap().status;
        status.success().then_some(())
    });
    let postmaster = |pid: u32| {
        let line = processes().remove(&pid)?.line;
        (line.contains("postgres") && line.contains("-D")).then_some(pid)
    };
    let find = || family(up.pid()).into_keys().find_map(postmaster);
    let before = find().unwrap();
    signal(before, Signal::QUIT);
    wait("another postmaster", || find().filter(|pid| *pid != before));
    wait("the mesh answers", || {
        let info = skein(&home, &["mesh", "info"]).output().unwrap();
        info.status.success().then_some(())
    });
}

#[test]
fn a_second_up_in_the_same_folder_says_that_the_first_runs() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &[]);

    let mut second = skein(&home, &["up", "--port", "0", "--data"]);
    let refused = second.arg(&data).output().unwrap();

    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains(&up.pid().to_string()) && said.contains("--data"), "{said}");
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let mut command = skein(&folder.path().join("home"), &["up", "--port", &port, "--data"]);
    let refused = command.arg(folder.path().join("data")).output().unwrap();

    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
    assert!(!folder.path().join("data/postgres").exists(), "nothing was started");
}

#[test]
fn a_given_database_is_used_and_a_taken_name_is_not_taken_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(skein_embedded::Server::start(Default::default())).unwrap();
    let url = runtime.block_on(server.create_database("given")).unwrap();
    let folder = folder();
    let start = |name: &str| {
        let (home, data) = (folder.path().join(name), folder.path().join(format!("{name}-data")));
        (Up::start(&home, &data, &["--database-url", &url]), home, data)
    };

    let (first, home, data) = start("first");
    let (_second, other_home, _) = start("second");

    assert_eq!(first.text("databaseUrl"), url);
    assert!(called(first.pid(), "postgres").is_empty());
    assert!(!data.join("postgres").exists());
    let slugs =
        [&home, &other_home].map(|home| json(home, &["mesh", "info"])["mesh"]["slug"].clone());
    assert_eq!(slugs, ["local", "local-2"]);
}

#[test]
fn every_variable_of_ours_reaches_the_children() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let mut command = up(&home, &data);
    command.env("SKEIN_REGION", "kitchen").env("SKEIN_OPERATOR_TOKEN", "of-the-house");
    command.env("SKEIN_LOG", "json");
    let up = Up::of(command);

    for program in ["skein-edge", "skein-worker"] {
        let environment = fs::read(format!("/proc/{}/environ", called(up.pid(), program)[0]));
        let environment = String::from_utf8(environment.unwrap()).unwrap();
        assert!(environment.split('\0').any(|one| one == "SKEIN_REGION=kitchen"), "{program}");
    }
    assert_eq!(up.text("operatorToken"), "of-the-house");
}

#[test]
fn the_demo_shows_both_messages_and_that_the_server_has_only_their_sealed_forms() {
    let folder = folder();

    let output = skein(&folder.path().join("home"), &["demo", "--json"]).output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let one_way = ["writes", "sealed", "stored", "told", "pushed", "opened", "received", "settled"];
    let all = [&["up", "joined", "joined"], &one_way[..], &one_way[..], &["searched"]].concat();
    assert_eq!(names, all);
    let of = |name: &str| steps.iter().filter(|step| step["step"] == name).collect::<Vec<_>>();
    for (written, opened) in of("writes").iter().zip(of("opened")) {
        assert_eq!(written["text"], opened["text"]);
        assert_ne!(written["by"], opened["by"]);
    }
    for (stored, pushed) in of("stored").iter().zip(of("pushed")) {
        assert_ne!(stored["edge"], pushed["edge"], "through two edges");
    }
    assert_eq!(of("searched")[0]["wordsFound"], 0);
    assert!(of("searched")[0]["ciphertextsFound"].as_u64() > Some(1));
    let home = folder.path().join("home");
    assert!(!home.join("meshes").exists(), "the home of who looks on is left alone");
}
