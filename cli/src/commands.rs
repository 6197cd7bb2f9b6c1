//! The commands, one file each. All know the home, how to print, and which mesh is meant.
//!
//! A command that needs the mesh attaches a session of its own for as long as it takes. What is
//! pushed to it meanwhile goes to the home's inbox like everything else.

pub mod attach;
pub mod audit;
pub mod bench;
pub mod clock;
pub mod completions;
pub mod config;
pub mod context;
pub mod demo;
pub mod doctor;
pub mod group;
pub mod ids;
pub mod inbox;
pub mod invite;
pub mod join;
pub mod key;
pub mod leave;
pub mod mcp;
pub mod member;
pub mod memory;
pub mod mesh;
pub mod peer_file;
pub mod peers;
pub mod ping;
pub mod remind;
pub mod schedule;
pub mod send;
pub mod skill;
pub mod state;
pub mod status;
pub mod stream;
pub mod summary;
pub mod task;
pub mod trace;
pub mod up;
pub mod watch;
pub mod webhook;
pub mod whoami;
pub mod worker;

use clap::{Parser, Subcommand};

use crate::Result;
use crate::error::CODES;
use crate::home::{Home, Membership};
use crate::output::Output;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or ambiguous, 4 not connected, 5 refused.
Environment: SKEIN_HOME (default ~/.skein), SKEIN_OPERATOR_TOKEN, NO_COLOR, RUST_LOG, and
SSL_CERT_FILE, which names more certificates to trust.";

/// Talk with the other peers of a mesh.
#[derive(Debug, Parser)]
#[command(name = "skein", version, after_help = EXIT_CODES, after_long_help = long_help())]
pub struct Cli {
    /// Print JSON for programs instead of words.
    #[arg(long, global = true)]
    pub json: bool,

    /// The mesh, by short name or id; needed when several are joined and `config` names none.
    #[arg(long, global = true, value_name = "MESH")]
    pub mesh: Option<String>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole mesh on this machine, until Ctrl-C.
    Up(up::Args),
    /// Watch two peers talk through two edges, hop by hop.
    Demo(demo::Args),
    /// Create a mesh, list those of this home, look at one.
    #[command(subcommand)]
    Mesh(mesh::Command),
    /// Make a link that lets others join.
    Invite(invite::Args),
    /// Join a mesh with a link.
    Join(join::Args),
    /// Forget a mesh that this home joined.
    Leave(leave::Args),
    /// List members, change what they may do, remove them.
    #[command(subcommand)]
    Member(member::Command),
    /// Send a message.
    Send(send::Args),
    /// Show what arrived, or follow it.
    Inbox(inbox::Args),
    /// Show who is here.
    Peers(peers::Args),
    /// See everything at a glance, or say what you are doing.
    Status(status::Args),
    /// Join, leave and list groups.
    #[command(subcommand)]
    Group(group::Command),
    /// Show what you are working on, or say it.
    Summary(summary::Args),
    /// Show what is known of a message, hop by hop.
    Trace(trace::Args),
    /// Show who you are in each mesh.
    Whoami(whoami::Args),
    /// Read and list files that another peer shares.
    #[command(subcommand)]
    PeerFile(peer_file::Command),
    /// Read, set, list and remove values that the mesh shares.
    #[command(subcommand)]
    State(state::Command),
    /// Share what you have learnt, and find what others have.
    #[command(subcommand)]
    Context(context::Command),
    /// Share instructions under a name, read, list and remove them.
    #[command(subcommand)]
    Skill(skill::Command),
    /// Keep texts for everybody, find them by their words, have them forgotten.
    #[command(subcommand)]
    Memory(memory::Command),
    /// Make, claim, complete and list pieces of work.
    #[command(subcommand)]
    Task(task::Command),
    /// Send a message later, once or again and again.
    Remind(remind::Args),
    /// List, show, hold and end what will be sent later.
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Show the simulation clock of the mesh, start it, stop it.
    Clock(clock::Args),
    /// Watch URLs, and be told when they change.
    #[command(subcommand)]
    Watch(watch::Command),
    /// Publish data to whoever listens, listen, and list.
    #[command(subcommand)]
    Stream(stream::Command),
    /// Give programs without a socket a key to the mesh.
    #[command(subcommand)]
    Key(key::Command),
    /// Let programs outside say something into the mesh.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Be a peer for an AI agent: an MCP server on standard input and output.
    Mcp(mcp::Args),
    /// Measure the way to the mesh and its database, and look whether a peer is here.
    Ping(ping::Args),
    /// Take every hop from this home to a message that came back, and name the broken one.
    Doctor(doctor::Args),
    /// Show and change what you chose.
    #[command(subcommand)]
    Config(config::Command),
    /// Print what lets a shell complete these commands.
    Completions(completions::Args),
    /// Show what happened in a mesh, and prove that nobody changed the log of it.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show who does what without being asked, and how late.
    #[command(subcommand)]
    Worker(worker::Command),
    /// Measure edges: throughput, latency, memory, CPU.
    Bench(bench::Args),
}

/// What the long help ends with: the exit codes, and the codes of errors.
fn long_help() -> String {
    let mut text =
        format!("{EXIT_CODES}\n\nErrors name a code; with --json they are one object,\n");
    text +=
        "{\"error\": {\"code\", \"message\", \"hint\"}}. A refusal has the server's code, and 5:\n";
    for (code, exit, meaning) in CODES {
        text += &format!("  {code:14} {exit}  {meaning}\n");
    }
    text
}

/// What every command knows.
#[derive(Debug)]
pub struct Context {
    /// The person's files.
    pub home: Home,
    /// How to print.
    pub out: Output,
    /// The mesh that was named.
    pub mesh: Option<String>,
}

impl Context {
    /// The membership that is meant.
    pub fn membership(&self) -> Result<Membership> {
        self.home.membership(self.mesh.as_deref())
    }

    /// What others are to call us where nothing else was said.
    pub fn default_name(&self) -> Result<String> {
        Ok(self.home.settings()?.name.unwrap_or_else(join::default_name))
    }

    /// The memberships that are meant: the named one, or all.
    pub fn memberships(&self) -> Result<Vec<Membership>> {
        match &self.mesh {
            Some(_) => Ok(vec![self.membership()?]),
            None => self.home.memberships(),
        }
    }
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> Result<()> {
    // Whoever installs us has no home yet, and needs none.
    if let Command::Completions(args) = &cli.command {
        return completions::run(args);
    }
    let context =
        Context { home: Home::open()?, out: Output::new(cli.json), mesh: cli.mesh.clone() };
    let context = &context;
    match cli.command {
        Command::Up(args) => up::run(context, args).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Mesh(command) => mesh::run(context, command).await,
        Command::Invite(args) => invite::run(context, args).await,
        Command::Join(args) => join::run(context, args).await,
        Command::Leave(args) => leave::run(context, args),
        Command::Member(command) => member::run(context, command).await,
        Command::Send(args) => send::run(context, args).await,
        Command::Inbox(args) => inbox::run(context, args).await,
        Command::Peers(args) => peers::run(context, args).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Group(command) => group::run(context, command).await,
        Command::Summary(args) => summary::run(context, args).await,
        Command::Trace(args) => trace::run(context, args).await,
        Command::Whoami(args) => whoami::run(context, args),
        Command::PeerFile(command) => peer_file::run(context, command).await,
        Command::State(command) => state::run(context, command).await,
        Command::Context(command) => context::run(context, command).await,
        Command::Skill(command) => skill::run(context, command).await,
        Command::Memory(command) => memory::run(context, command).await,
        Command::Task(command) => task::run(context, command).await,
        Command::Remind(args) => remind::run(context, args).await,
        Command::Schedule(command) => schedule::run(context, command).await,
        Command::Clock(args) => clock::run(context, args).await,
        Command::Watch(command) => watch::run(context, command).await,
        Command::Stream(command) => stream::run(context, command).await,
        Command::Key(command) => key::run(context, command).await,
        Command::Webhook(command) => webhook::run(context, command).await,
        Command::Mcp(args) => mcp::run(context, args).await,
        Command::Ping(args) => ping::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Config(command) => config::run(context, command),
        Command::Completions(args) => completions::run(&args),
        Command::Audit(command) => audit::run(context, command).await,
        Command::Worker(command) => worker::run(context, command).await,
        Command::Bench(args) => bench::run(context, args).await,
    }
}
