//! Every limit of the product, with its unit in its name and its reason beside it.

use std::time::Duration;

/// A frame, both ways. Above it the socket is closed with 1009. A relayed file of 1 MiB needs about
/// 1.4 MB; old clients were served up to 16 MiB and use no more than 2.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A message's `ciphertext`, as the text on the wire.
pub const CIPHERTEXT_BYTES_MAX: usize = 1024 * 1024;
/// A message's `nonce`: 24 bytes in base64 are 32; the rest is room for forms to come.
pub const NONCE_BYTES_MAX: usize = 128;
/// `targetSpec`: a key, or `@` and a group path.
pub const TARGET_BYTES_MAX: usize = GROUP_BYTES_MAX + 1;
/// A send's own `id`, and `_reqId`.
pub const ID_BYTES_MAX: usize = 256;
/// What an error says of a frame that cannot be read: parsers quote what they did not expect.
pub const ERROR_DETAIL_BYTES_MAX: usize = 256;
/// Ids in one `received`.
pub const RECEIVED_IDS_MAX: usize = 1024;

/// A display name in characters. Longer ones are cut, not refused: old default names can be 72.
pub const DISPLAY_NAME_CHARS_MAX: usize = 128;
/// A group's path, `a/b/c`.
pub const GROUP_BYTES_MAX: usize = 128;
/// A role within a group.
pub const ROLE_BYTES_MAX: usize = 128;
/// Groups of one session.
pub const GROUPS_MAX: usize = 64;
/// A summary.
pub const SUMMARY_BYTES_MAX: usize = 4096;
/// A profile, as JSON.
pub const PROFILE_BYTES_MAX: usize = 16 * 1024;
/// Reported stats, as JSON.
pub const STATS_BYTES_MAX: usize = 4096;
/// Any other text of a hello: session id, cwd, host name, channel, model.
pub const HELLO_TEXT_BYTES_MAX: usize = 4096;

/// Sockets attached to one mesh, unless the deployment sets another.
pub const PEERS_PER_MESH_MAX: i64 = 1000;
/// A hello's clock may differ by this much.
pub const HELLO_SKEW: Duration = Duration::from_secs(60);
/// How long a hello's signature or proof is remembered; twice the skew, so that none outlives it.
pub const HELLO_MEMORY: Duration = Duration::from_secs(120);
/// A socket that has said no hello by then is closed.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// A hello waiting longer than this is dropped before it costs a statement: its client has given up
/// after 5 s and tries again.
pub const HELLO_AGE_MAX: Duration = Duration::from_secs(4);
/// Hellos waiting on one edge; beyond, new sockets are told to come back (1013).
pub const HELLOS_WAITING_MAX: usize = 8192;
/// Hellos committed at once.
pub const HELLO_BATCH_MAX: usize = 256;

/// Messages stored at once.
pub const BATCH_MESSAGES_MAX: usize = 512;
/// Bytes of messages stored at once.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Sends taken from one session: tokens a second, and the bucket.
pub const SENDS_PER_SECOND: u32 = 5000;
/// See [`SENDS_PER_SECOND`].
pub const SENDS_BURST: u32 = 10_000;
/// Unsettled pushes on one socket; past it rows wait in the table.
pub const WINDOW_MAX: usize = 256;
/// Rows read for a session at once.
pub const PAGE_MAX: usize = 256;
/// A window that has not moved for this long closes the socket.
pub const WINDOW_STUCK: Duration = Duration::from_secs(60);
/// Bytes queued for one socket and not yet written; past it the socket is closed (1013).
pub const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Multicasts a session may be behind on one attachment; past it the socket is closed (1013), and
/// the session reads on from its place when it comes back.
pub const BEHIND_MAX: usize = 10_000;
/// Unsettled messages of one mailbox.
pub const MAILBOX_MESSAGES_MAX: i64 = 10_000;
/// Unsettled bytes of one mailbox.
pub const MAILBOX_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Unsettled bytes of one mesh.
pub const MESH_HELD_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// Multicasts that a returning session is given.
pub const CATCH_UP_MAX: usize = 1000;
/// How far back a returning session is given multicasts.
pub const CATCH_UP_AGE: Duration = Duration::from_secs(24 * 3600);
/// A direct message that nobody collects expires after this.
pub const DELIVERY_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// A session key that nobody used for this long is forgotten.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// A row is fresh this long after its sender or its recipient attached.
pub const FRESH: Duration = Duration::from_secs(60);
/// How often a node looks for what nothing announced.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A NOTIFY payload; PostgreSQL refuses 8000 bytes and more.
pub const NOTIFY_BYTES_MAX: usize = 7900;

/// Questions of one session to others that wait for their answers, as for files of peers.
pub const RELAY_CALLS_PER_SESSION_MAX: usize = 64;
/// The same of all sessions of one edge.
pub const RELAY_CALLS_MAX: usize = 4096;
/// Questions to one session that wait for its answers.
pub const RELAY_ASKED_PER_SESSION_MAX: usize = 256;
/// Bytes on their way from one edge to others; and as many again of answers whose sockets read
/// slowly.
pub const RELAY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A frame between edges that nobody took out of its table is deleted after this.
pub const RELAY_FRAME_AGE_MAX: Duration = Duration::from_secs(60);
/// Streams, and other topics, that one session follows.
pub const TOPICS_PER_SESSION_MAX: usize = 64;
/// How long a peer may take to answer for a file: the reference's client waits 15 s.
pub const PEER_FILE_PATIENCE: Duration = Duration::from_secs(14);
/// The largest file that is read for a peer.
pub const PEER_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Entries of one listing for a peer.
pub const PEER_DIR_ENTRIES_MAX: usize = 500;
/// How deep a listing for a peer goes below its folder.
pub const PEER_DIR_DEPTH_MAX: usize = 2;
/// The path that a peer is asked for.
pub const PATH_BYTES_MAX: usize = 4096;
/// The pattern that a peer compares the names of a folder with; no name is longer.
pub const PEER_PATTERN_BYTES_MAX: usize = 256;
/// A stream's name.
pub const STREAM_NAME_BYTES_MAX: usize = 128;
/// Streams of one mesh.
pub const STREAMS_MAX: i64 = 1000;

/// WebSocket pings from the edge.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A socket that has not answered for this long is closed.
pub const PONG_DEADLINE: Duration = Duration::from_secs(75);
/// A lost socket is announced as a departure after this.
pub const GRACE: Duration = Duration::from_secs(20);
/// Presence events a second and mesh; the rest is dropped, `list_peers` is the truth.
pub const PRESENCE_EVENTS_PER_SECOND: u32 = 50;
/// A hook's `working` lapses after this without a hook or a frame.
pub const WORKING_AGE_MAX: Duration = Duration::from_secs(600);
/// With the database away, sockets stay this long.
pub const DATABASE_AWAY_MAX: Duration = Duration::from_secs(60);

/// A node bumps its beat this often.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A node whose beat stood still this long, as seen by one worker, is dead.
pub const BEAT_STILL_MAX: Duration = Duration::from_secs(15);
/// A worker's view of a beat counts only while it read at least this often.
pub const BEAT_READ_MAX: Duration = Duration::from_secs(3);

/// Bodies of `/join` and the hooks, as in the reference.
pub const HTTP_BODY_BYTES_MAX: usize = 65_536;
/// A TLS handshake takes no longer.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// From the first byte of an HTTP request to the end of its head.
pub const HTTP_HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// From the end of the head to the answer, and a second more for every
/// [`HTTP_BODY_BYTES_PER_SECOND`].
pub const HTTP_BODY_DEADLINE: Duration = Duration::from_secs(30);
/// The slowest body that is waited for.
pub const HTTP_BODY_BYTES_PER_SECOND: u64 = 16 * 1024;
/// From an answer to the next request on the same connection.
pub const HTTP_IDLE_DEADLINE: Duration = Duration::from_secs(75);
/// From one written byte to the next, while there is something to write.
pub const HTTP_WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Members or invites in one answer.
pub const LIST_MAX: usize = 500;
/// The furthest end of an invite, in days.
pub const INVITE_DAYS_MAX: i64 = 366;
/// Processes and folders whose hook rate is known at once. Past it those that were quiet for a while
/// are forgotten; if that is not enough, new ones are refused.
pub const HOOK_RATES_MAX: usize = 10_000;
/// Requests to `/hook/set-status` a minute, for one pid and cwd.
pub const HOOKS_PER_MINUTE: u32 = 30;
/// A webhook's name.
pub const WEBHOOK_NAME_BYTES_MAX: usize = 128;
/// Webhooks of one mesh.
pub const WEBHOOKS_MAX: usize = 100;
/// Posts to one webhook a minute, on each edge; beyond, 429.
pub const WEBHOOK_POSTS_PER_MINUTE: u32 = 120;
/// A signed post's timestamp may differ from our clock by this much.
pub const WEBHOOK_SKEW: Duration = Duration::from_secs(300);
/// How long the id of a signed post is remembered, and refused again: longer than its senders try,
/// and than twice the skew.
pub const WEBHOOK_MEMORY: Duration = Duration::from_secs(24 * 3600);
/// Posts to webhooks and messages of API keys that one edge stores at once: half of the connections
/// that its handlers share. One counts until it was told.
pub const POSTS_AT_ONCE_MAX: usize = 4;
/// How long a post waits for its turn; then it is told that nothing was stored.
pub const POST_PATIENCE: Duration = Duration::from_secs(5);
/// Seconds after which whoever was answered 503 may ask again.
pub const RETRY_AFTER_SECONDS: u32 = 1;
/// Requests of one API key a minute, on each edge, unless the deployment sets another; beyond, 429.
pub const API_KEY_REQUESTS_PER_MINUTE: u32 = 6000;
/// How long a hook that found no presence waits for one.
pub const HOOK_PENDING: Duration = Duration::from_secs(10);
/// Sockets on one edge, said hello or not.
pub const SOCKETS_MAX: usize = 50_000;

/// What the entries of an answer that lists may come to; the rest of the frame is their form.
pub const LIST_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A key of the state.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// What a key holds, as JSON.
pub const STATE_VALUE_BYTES_MAX: usize = 256 * 1024;
/// How deep a value is nested: parsers stop at 128, and a value stands inside a frame.
pub const STATE_DEPTH_MAX: usize = 100;
/// Keys of one mesh.
pub const STATE_KEYS_MAX: i64 = 10_000;
/// The longest time that a key may be set for.
pub const STATE_TTL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// A removed key is remembered for this long, so that every node hears of it.
pub const STATE_REMOVED_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Keys whose change a socket without room was not told; past it the socket is closed (1013).
pub const STATES_BEHIND_MAX: usize = 1000;
/// A context's summary.
pub const CONTEXT_SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// Files, or findings, of one context.
pub const CONTEXT_ITEMS_MAX: usize = 256;
/// Files, or findings, of one context, together.
pub const CONTEXT_ITEMS_BYTES_MAX: usize = 64 * 1024;
/// Contexts that one search finds, as in the reference.
pub const CONTEXTS_FOUND_MAX: i64 = 20;
/// Contexts in one list.
pub const CONTEXTS_LISTED_MAX: i64 = 1000;
/// A skill's name.
pub const SKILL_NAME_BYTES_MAX: usize = 128;
/// What a skill is for.
pub const SKILL_DESCRIPTION_BYTES_MAX: usize = 4096;
/// A skill's instructions.
pub const SKILL_INSTRUCTIONS_BYTES_MAX: usize = 256 * 1024;
/// Skills of one mesh.
pub const SKILLS_MAX: i64 = 500;
/// Tags of one thing.
pub const TAGS_MAX: usize = 32;
/// A tag.
pub const TAG_BYTES_MAX: usize = 64;
/// A memory's text: twenty of them fit a frame, whatever they are made of.
pub const MEMORY_BYTES_MAX: usize = 16 * 1024;
/// Memories of one mesh that are not forgotten.
pub const MEMORIES_MAX: i64 = 200_000;
/// What memories are looked for by.
pub const RECALL_QUERY_BYTES_MAX: usize = 1024;
/// Different words of a query: ranking compares the places of each with those of every other.
pub const RECALL_WORDS_MAX: usize = 32;
/// Memories in one answer.
pub const RECALL_MAX: i64 = 20;
/// A task's title: a hundred of them fit a frame, with all that belongs to them.
pub const TASK_TITLE_BYTES_MAX: usize = 1024;
/// Whom a task is for: a name, a key or `@group`.
pub const TASK_ASSIGNEE_BYTES_MAX: usize = 4 * DISPLAY_NAME_CHARS_MAX;
/// A task's priority, which may be any word.
pub const TASK_PRIORITY_BYTES_MAX: usize = 64;
/// What came of a task.
pub const TASK_RESULT_BYTES_MAX: usize = 64 * 1024;
/// Tasks that one task may wait for.
pub const TASK_DEPENDENCIES_MAX: usize = 32;
/// Tasks of one mesh. Beyond, the oldest that is done goes for a new one.
pub const TASKS_MAX: i64 = 100_000;
/// Tasks in one answer.
pub const TASKS_LISTED_MAX: i64 = 100;
/// The longest lease of a task.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often leases that have ended, and keys of the state whose time is over, are looked for.
pub const LEASE_LOOK: Duration = Duration::from_secs(2);

/// The slowest a simulation clock goes: as the world does.
pub const CLOCK_SPEED_MIN: u32 = 1;
/// The fastest a simulation clock goes.
pub const CLOCK_SPEED_MAX: u32 = 100;
/// What passes on a simulation clock at every tick.
pub const CLOCK_STEP: Duration = Duration::from_secs(60);
/// Ticks that a mesh is told at once where their announcements were lost; of more only the last.
pub const TICKS_BEHIND_MAX: i64 = 256;

/// Watches of one mesh.
pub const WATCHES_MAX: i64 = 10_000;
/// Watches of one member.
pub const WATCHES_PER_MEMBER_MAX: i64 = 500;
/// Seconds from one check of a watch to the next, unless it names others.
pub const WATCH_INTERVAL_SECONDS: u32 = 30;
/// The fewest: fewer count as so many, as in the reference.
pub const WATCH_INTERVAL_SECONDS_MIN: u32 = 5;
/// The most.
pub const WATCH_INTERVAL_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// What a watch looks at.
pub const WATCH_URL_BYTES_MAX: usize = 2048;
/// A value that it waits for: less than what is kept, so that a value that was cut is never it.
pub const WATCH_MATCH_BYTES_MAX: usize = 256;
/// What it is called.
pub const WATCH_LABEL_BYTES_MAX: usize = 256;
/// The names and values of the headers that it sends, together.
pub const WATCH_HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Checks that are tried at once, on one edge.
pub const WATCH_TESTS_AT_ONCE_MAX: usize = 64;
/// Of those, one member's.
pub const WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX: usize = 2;
/// Checks that one member tries on one edge in a minute.
pub const WATCH_TESTS_PER_MINUTE_PER_MEMBER: u32 = 30;
/// Why a check failed.
pub const WATCH_ERROR_BYTES_MAX: usize = 256;
/// So many checks of a watch that fail in a row are told, once.
pub const WATCH_FAILURES_TOLD: i32 = 5;
/// The longest that a watch whose checks fail waits for the next, unless its interval is longer:
/// each failure doubles the wait.
pub const WATCH_BACK_OFF_MAX: Duration = Duration::from_secs(3600);
/// Checks that one worker has in hand, waiting for their moment or their answer, of one member.
pub const WATCHES_IN_HAND_PER_MEMBER_MAX: i64 = 128;
/// When a check that found no room is tried again, unless the watch's interval is shorter.
pub const WATCH_BUSY_AGAIN: Duration = Duration::from_secs(5);
/// So many checks of a watch in a row that found no room are said in the list.
pub const WATCH_BUSY_TOLD: u32 = 5;

/// A cron expression.
pub const CRON_BYTES_MAX: usize = 256;
/// The name of a time zone.
pub const TIME_ZONE_BYTES_MAX: usize = 64;
/// What the user wrote in place of a schedule's target.
pub const SCHEDULE_TO_NAME_BYTES_MAX: usize = 4 * DISPLAY_NAME_CHARS_MAX;
/// Schedules of one mesh that are not done.
pub const SCHEDULES_PER_MESH_MAX: i64 = 20_000;
/// Schedules of one member that are not done.
pub const SCHEDULES_PER_MEMBER_MAX: i64 = 2000;
/// Bodies of the schedules of one mesh that are not done, together.
pub const SCHEDULE_BYTES_PER_MESH_MAX: i64 = 256 * 1024 * 1024;
/// Bodies of the schedules of one member that are not done, together.
pub const SCHEDULE_BYTES_PER_MEMBER_MAX: i64 = 16 * 1024 * 1024;
/// How far ahead a schedule may first fire: five years.
pub const SCHEDULE_HORIZON: Duration = Duration::from_secs(5 * 366 * 24 * 3600);
/// A slot that cannot be served within this is missed: longer than a worker's takeover.
pub const SCHEDULE_LATE_MAX: Duration = Duration::from_secs(60);
/// Missed slots that are made up for, with `all`.
pub const SCHEDULE_MADE_UP_MAX: usize = 100;
/// The largest jitter, in seconds.
pub const SCHEDULE_JITTER_SECONDS_MAX: u32 = 3600;
/// Slots whose outcome is kept, of one schedule.
pub const SCHEDULE_FIRES_KEPT: i64 = 100;
/// Next slots that the answer to a new schedule names.
pub const SCHEDULE_NEXT_SHOWN: usize = 3;
/// A schedule that is done can be read for this long.
pub const SCHEDULE_DONE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Entries of the audit log in one answer.
pub const AUDIT_PAGE_MAX: usize = 1000;
/// And their payloads, unless one alone is larger.
pub const AUDIT_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// A value of the state that stands in the audit log; of a larger one its hash does.
pub const AUDIT_VALUE_BYTES_MAX: usize = 1024;
/// Groups of a session in the audit log, as JSON; the others are counted.
pub const AUDIT_GROUPS_BYTES_MAX: usize = 4096;
/// How long one answer computes hashes of the audit log again; it says where to go on.
pub const AUDIT_VERIFY_TIME: Duration = Duration::from_secs(2);
/// How often workers look for what is to be audited.
pub const AUDIT_LOOK: Duration = Duration::from_secs(10);
/// Messages are looked for at most this often, however often the log is read.
pub const AUDIT_PAUSE: Duration = Duration::from_secs(1);

/// Sends a client keeps while it is not connected; the next is refused.
pub const OUTBOUND_MAX: usize = 100;
/// Pushes a client keeps for its user.
pub const PUSHES_MAX: usize = 500;
/// A client repeats an unacknowledged send for this long, then gives it up visibly.
pub const REPEAT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// A client's inbox remembers ids for this long: longer than anything lives on the server.
pub const INBOX_AGE_MAX: Duration = Duration::from_secs(35 * 24 * 3600);

/// A URL to fetch, and each that it redirects to.
pub const FETCH_URL_BYTES_MAX: usize = 4096;
/// Redirects that are followed.
pub const FETCH_REDIRECTS_MAX: usize = 5;
/// Headers sent with a request.
pub const FETCH_HEADERS_MAX: usize = 32;
/// The value of one of them: tokens are long.
pub const FETCH_HEADER_BYTES_MAX: usize = 4096;
/// The headers of an answer.
pub const FETCH_HEAD_BYTES_MAX: usize = 64 * 1024;
/// The body of an answer, as it comes and decompressed.
pub const FETCH_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The bodies that one process reads at once, together; more wait.
pub const FETCH_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of those, one member's: four of the longest.
pub const FETCH_BODIES_PER_MEMBER_BYTES_MAX: usize = 4 * FETCH_BODY_BYTES_MAX;
/// A whole request, redirects included, without waits for turns.
pub const FETCH_TOTAL: Duration = Duration::from_secs(10);
/// Until there is a connection, name and encryption included.
pub const FETCH_CONNECT: Duration = Duration::from_secs(5);
/// From one piece of a body to the next.
pub const FETCH_STALL: Duration = Duration::from_secs(5);
/// How long a request waits for its turn before it is given up.
pub const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// Requests at once, in one process.
pub const FETCHES_AT_ONCE_MAX: usize = 512;
/// Of those, one member's.
pub const FETCHES_AT_ONCE_PER_MEMBER_MAX: usize = 64;
/// Requests at once to one host: one address.
pub const FETCHES_AT_ONCE_PER_HOST_MAX: usize = 4;
/// Requests a second to one host.
pub const FETCHES_PER_SECOND_PER_HOST: u32 = 10;
/// Hosts that a connection is kept open to for the next request: with all that are under way, fewer
/// than the 1024 files that many systems let a process have.
pub const FETCH_HOSTS_KEPT_MAX: usize = 256;
/// How long one is kept open unused.
pub const FETCH_KEEP: Duration = Duration::from_secs(30);
/// Names looked up at once: each takes a thread for as long as the system's resolver likes.
pub const FETCH_LOOKUPS_AT_ONCE_MAX: usize = 32;
/// Of those, one member's.
pub const FETCH_LOOKUPS_PER_MEMBER_MAX: usize = 4;
/// Of those, one domain's, whoever asks.
pub const FETCH_LOOKUPS_PER_DOMAIN_MAX: usize = 4;
/// What is shown of a fetched value; the hash is of all of it.
pub const FETCH_VALUE_CHARS_MAX: usize = 1000;
/// Fetched documents that one process looks into at once; more wait.
pub const FETCH_DOCUMENTS_AT_ONCE_MAX: usize = 2;
/// A path into fetched JSON.
pub const FETCH_PATH_BYTES_MAX: usize = 512;
