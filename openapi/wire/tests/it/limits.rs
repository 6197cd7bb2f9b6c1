//! The limits as they are documented, and what they must be to each other.
//!
//! A limit is a promise to whoever plans with it: one that is added, dropped or changed has to be
//! changed here too, and in the documents that name it.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use skein_wire::limit::*;

const KIB: u128 = 1024;
const MIB: u128 = 1024 * KIB;
const HOUR: u64 = 3600;

/// A limit's number: what it counts, or its milliseconds.
trait Figure {
    fn figure(self) -> u128;
}

impl Figure for usize {
    fn figure(self) -> u128 {
        self as u128
    }
}

impl Figure for u32 {
    fn figure(self) -> u128 {
        self.into()
    }
}

impl Figure for i32 {
    fn figure(self) -> u128 {
        self.try_into().unwrap()
    }
}

impl Figure for u64 {
    fn figure(self) -> u128 {
        self.into()
    }
}

impl Figure for i64 {
    fn figure(self) -> u128 {
        self.try_into().unwrap()
    }
}

impl Figure for Duration {
    fn figure(self) -> u128 {
        self.as_millis()
    }
}

fn seconds(seconds: u64) -> u128 {
    Duration::from_secs(seconds).as_millis()
}

macro_rules! table {
    ($($name:ident $documented:expr,)+) => {
        vec![$((stringify!($name), Figure::figure($name), $documented)),+]
    };
}

/// Name, value in the code, value in the documents.
fn table() -> Vec<(&'static str, u128, u128)> {
    table! {
        FRAME_BYTES_MAX 4 * MIB,
        CIPHERTEXT_BYTES_MAX MIB,
        NONCE_BYTES_MAX 128,
        TARGET_BYTES_MAX 129,
        ID_BYTES_MAX 256,
        ERROR_DETAIL_BYTES_MAX 256,
        RECEIVED_IDS_MAX 1024,
        DISPLAY_NAME_CHARS_MAX 128,
        GROUP_BYTES_MAX 128,
        ROLE_BYTES_MAX 128,
        GROUPS_MAX 64,
        SUMMARY_BYTES_MAX 4 * KIB,
        PROFILE_BYTES_MAX 16 * KIB,
        STATS_BYTES_MAX 4 * KIB,
        HELLO_TEXT_BYTES_MAX 4 * KIB,
        PEERS_PER_MESH_MAX 1000,
        HELLO_SKEW seconds(60),
        HELLO_MEMORY seconds(120),
        HELLO_DEADLINE seconds(10),
        HELLO_AGE_MAX seconds(4),
        HELLOS_WAITING_MAX 8192,
        HELLO_BATCH_MAX 256,
        BATCH_MESSAGES_MAX 512,
        BATCH_BYTES_MAX MIB,
        SENDS_PER_SECOND 5000,
        SENDS_BURST 10_000,
        WINDOW_MAX 256,
        PAGE_MAX 256,
        WINDOW_STUCK seconds(60),
        UNWRITTEN_BYTES_MAX 16 * MIB,
        BEHIND_MAX 10_000,
        MAILBOX_MESSAGES_MAX 10_000,
        MAILBOX_BYTES_MAX 64 * MIB,
        MESH_HELD_BYTES_MAX 1024 * MIB,
        CATCH_UP_MAX 1000,
        CATCH_UP_AGE seconds(24 * HOUR),
        DELIVERY_AGE_MAX seconds(30 * 24 * HOUR),
        SESSION_AGE_MAX seconds(30 * 24 * HOUR),
        FRESH seconds(60),
        LOOK_INTERVAL seconds(2),
        NOTIFY_BYTES_MAX 7900,
        RELAY_CALLS_PER_SESSION_MAX 64,
        RELAY_CALLS_MAX 4096,
        RELAY_ASKED_PER_SESSION_MAX 256,
        RELAY_BYTES_MAX 64 * MIB,
        RELAY_FRAME_AGE_MAX seconds(60),
        TOPICS_PER_SESSION_MAX 64,
        PEER_FILE_PATIENCE seconds(14),
        PEER_FILE_BYTES_MAX MIB,
        PEER_DIR_ENTRIES_MAX 500,
        PEER_DIR_DEPTH_MAX 2,
        PATH_BYTES_MAX 4 * KIB,
        PEER_PATTERN_BYTES_MAX 256,
        STREAM_NAME_BYTES_MAX 128,
        STREAMS_MAX 1000,
        PING_INTERVAL seconds(30),
        PONG_DEADLINE seconds(75),
        GRACE seconds(20),
        PRESENCE_EVENTS_PER_SECOND 50,
        WORKING_AGE_MAX seconds(600),
        DATABASE_AWAY_MAX seconds(60),
        BEAT_INTERVAL seconds(5),
        BEAT_STILL_MAX seconds(15),
        BEAT_READ_MAX seconds(3),
        HTTP_BODY_BYTES_MAX 65_536,
        HOOKS_PER_MINUTE 30,
        HOOK_PENDING seconds(10),
        POSTS_AT_ONCE_MAX 4,
        POST_PATIENCE seconds(5),
        RETRY_AFTER_SECONDS 1,
        API_KEY_REQUESTS_PER_MINUTE 6000,
        WEBHOOK_NAME_BYTES_MAX 128,
        WEBHOOKS_MAX 100,
        WEBHOOK_POSTS_PER_MINUTE 120,
        WEBHOOK_SKEW seconds(300),
        WEBHOOK_MEMORY seconds(24 * HOUR),
        LIST_BYTES_MAX 3 * MIB,
        STATE_KEY_BYTES_MAX 256,
        STATE_VALUE_BYTES_MAX 256 * KIB,
        STATE_DEPTH_MAX 100,
        STATE_KEYS_MAX 10_000,
        STATE_TTL_MAX seconds(366 * 24 * HOUR),
        STATE_REMOVED_AGE_MAX seconds(24 * HOUR),
        STATES_BEHIND_MAX 1000,
        CONTEXT_SUMMARY_BYTES_MAX 16 * KIB,
        CONTEXT_ITEMS_MAX 256,
        CONTEXT_ITEMS_BYTES_MAX 64 * KIB,
        CONTEXTS_FOUND_MAX 20,
        CONTEXTS_LISTED_MAX 1000,
        SKILL_NAME_BYTES_MAX 128,
        SKILL_DESCRIPTION_BYTES_MAX 4096,
        SKILL_INSTRUCTIONS_BYTES_MAX 256 * KIB,
        SKILLS_MAX 500,
        HANDSHAKE_DEADLINE seconds(10),
        HTTP_HEAD_DEADLINE seconds(10),
        HTTP_BODY_DEADLINE seconds(30),
        HTTP_BODY_BYTES_PER_SECOND 16 * 1024,
        HTTP_IDLE_DEADLINE seconds(75),
        HTTP_WRITE_DEADLINE seconds(30),
        LIST_MAX 500,
        INVITE_DAYS_MAX 366,
        HOOK_RATES_MAX 10_000,
        SOCKETS_MAX 50_000,
        TAGS_MAX 32,
        TAG_BYTES_MAX 64,
        MEMORY_BYTES_MAX 16 * KIB,
        MEMORIES_MAX 200_000,
        RECALL_QUERY_BYTES_MAX KIB,
        RECALL_WORDS_MAX 32,
        RECALL_MAX 20,
        TASK_TITLE_BYTES_MAX KIB,
        TASK_ASSIGNEE_BYTES_MAX 512,
        TASK_PRIORITY_BYTES_MAX 64,
        TASK_RESULT_BYTES_MAX 64 * KIB,
        TASK_DEPENDENCIES_MAX 32,
        TASKS_MAX 100_000,
        TASKS_LISTED_MAX 100,
        LEASE_MAX seconds(24 * HOUR),
        LEASE_LOOK seconds(2),
        CLOCK_SPEED_MIN 1,
        CLOCK_SPEED_MAX 100,
        CLOCK_STEP seconds(60),
        TICKS_BEHIND_MAX 256,
        WATCHES_MAX 10_000,
        WATCHES_PER_MEMBER_MAX 500,
        WATCH_INTERVAL_SECONDS 30,
        WATCH_INTERVAL_SECONDS_MIN 5,
        WATCH_INTERVAL_SECONDS_MAX 30 * 24 * 3600,
        WATCH_URL_BYTES_MAX 2 * KIB,
        WATCH_MATCH_BYTES_MAX 256,
        WATCH_LABEL_BYTES_MAX 256,
        WATCH_HEADERS_BYTES_MAX 8 * KIB,
        WATCH_TESTS_AT_ONCE_MAX 64,
        WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX 2,
        WATCH_TESTS_PER_MINUTE_PER_MEMBER 30,
        WATCH_ERROR_BYTES_MAX 256,
        WATCH_FAILURES_TOLD 5,
        WATCH_BACK_OFF_MAX seconds(3600),
        WATCHES_IN_HAND_PER_MEMBER_MAX 128,
        WATCH_BUSY_AGAIN seconds(5),
        WATCH_BUSY_TOLD 5,
        CRON_BYTES_MAX 256,
        TIME_ZONE_BYTES_MAX 64,
        SCHEDULE_TO_NAME_BYTES_MAX 512,
        SCHEDULES_PER_MESH_MAX 20_000,
        SCHEDULES_PER_MEMBER_MAX 2000,
        SCHEDULE_BYTES_PER_MESH_MAX 256 * MIB,
        SCHEDULE_BYTES_PER_MEMBER_MAX 16 * MIB,
        SCHEDULE_HORIZON seconds(5 * 366 * 24 * HOUR),
        SCHEDULE_LATE_MAX seconds(60),
        SCHEDULE_MADE_UP_MAX 100,
        SCHEDULE_JITTER_SECONDS_MAX 3600,
        SCHEDULE_FIRES_KEPT 100,
        SCHEDULE_NEXT_SHOWN 3,
        SCHEDULE_DONE_AGE_MAX seconds(24 * HOUR),
        AUDIT_PAGE_MAX 1000,
        AUDIT_PAGE_BYTES_MAX MIB,
        AUDIT_VALUE_BYTES_MAX KIB,
        AUDIT_GROUPS_BYTES_MAX 4 * KIB,
        AUDIT_VERIFY_TIME seconds(2),
        AUDIT_LOOK seconds(10),
        AUDIT_PAUSE seconds(1),
        OUTBOUND_MAX 100,
        PUSHES_MAX 500,
        REPEAT_AGE_MAX seconds(24 * HOUR),
        INBOX_AGE_MAX seconds(35 * 24 * HOUR),
        FETCH_URL_BYTES_MAX 4096,
        FETCH_REDIRECTS_MAX 5,
        FETCH_HEADERS_MAX 32,
        FETCH_HEADER_BYTES_MAX 4096,
        FETCH_HEAD_BYTES_MAX 64 * KIB,
        FETCH_BODY_BYTES_MAX 2 * MIB,
        FETCH_BODIES_BYTES_MAX 64 * MIB,
        FETCH_BODIES_PER_MEMBER_BYTES_MAX 8 * MIB,
        FETCH_TOTAL seconds(10),
        FETCH_CONNECT seconds(5),
        FETCH_STALL seconds(5),
        FETCH_PATIENCE seconds(10),
        FETCHES_AT_ONCE_MAX 512,
        FETCHES_AT_ONCE_PER_MEMBER_MAX 64,
        FETCHES_AT_ONCE_PER_HOST_MAX 4,
        FETCHES_PER_SECOND_PER_HOST 10,
        FETCH_HOSTS_KEPT_MAX 256,
        FETCH_KEEP seconds(30),
        FETCH_LOOKUPS_AT_ONCE_MAX 32,
        FETCH_LOOKUPS_PER_MEMBER_MAX 4,
        FETCH_LOOKUPS_PER_DOMAIN_MAX 4,
        FETCH_VALUE_CHARS_MAX 1000,
        FETCH_DOCUMENTS_AT_ONCE_MAX 2,
        FETCH_PATH_BYTES_MAX 512,
    }
}

#[test]
fn every_limit_is_what_the_documents_say() {
    for (name, limit, documented) in table() {
        assert_eq!(limit, documented, "{name}");
    }
}

#[test]
fn every_limit_stands_in_the_table_and_says_why() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/limit.rs");
    let text = fs::read_to_string(file).unwrap();
    let listed: BTreeSet<&str> = table().iter().map(|(name, ..)| *name).collect();
    let mut above = "";
    let mut declared = BTreeSet::new();

    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("pub const ") {
            let name = rest.split(':').next().unwrap();
            assert!(above.starts_with("/// "), "{name} has no comment");
            assert!(declared.insert(name), "{name} stands twice");
        }
        above = line;
    }

    assert_eq!(declared, listed);
}

#[test]
fn limits_fit_each_other() {
    let rest_of_frame = 64 * 1024;
    let client_gives_up = Duration::from_secs(5);
    let client_is_back = Duration::from_secs(7);
    for (fits, why) in [
        (CIPHERTEXT_BYTES_MAX + rest_of_frame < FRAME_BYTES_MAX, "the largest body fits a frame"),
        (RECEIVED_IDS_MAX * (ID_BYTES_MAX + 3) < FRAME_BYTES_MAX, "so does the longest `received`"),
        (FRAME_BYTES_MAX >= 2 * 1024 * 1024, "the contract asks for at least 2 MiB"),
        (FRAME_BYTES_MAX <= UNWRITTEN_BYTES_MAX, "one frame never closes the socket it is for"),
        (TARGET_BYTES_MAX >= 64, "a key of 64 characters is a target"),
        (WEBHOOK_MEMORY >= 2 * WEBHOOK_SKEW, "so is a signed post"),
        (HELLO_MEMORY >= 2 * HELLO_SKEW, "a hello that is forgotten is too old to be said again"),
        (HELLO_AGE_MAX < client_gives_up, "no work is done for a client that has left"),
        (HELLO_AGE_MAX < HELLO_DEADLINE, "a hello is dropped before its socket is"),
        (HELLO_BATCH_MAX <= HELLOS_WAITING_MAX, "a batch of hellos can be waiting"),
        (
            RECALL_MAX as usize * 6 * (MEMORY_BYTES_MAX + TAGS_MAX * TAG_BYTES_MAX)
                < FRAME_BYTES_MAX,
            "an answer to `recall` fits a frame, six bytes a character",
        ),
        (
            TASKS_LISTED_MAX as usize
                * 6
                * (TASK_TITLE_BYTES_MAX
                    + TASK_ASSIGNEE_BYTES_MAX
                    + TASK_PRIORITY_BYTES_MAX
                    + TAGS_MAX * TAG_BYTES_MAX)
                + TASKS_LISTED_MAX as usize * TASK_DEPENDENCIES_MAX * 40
                < FRAME_BYTES_MAX - TASK_RESULT_BYTES_MAX * 6 - rest_of_frame,
            "a list of tasks fits a frame, with one result",
        ),
        (
            AUDIT_PAGE_BYTES_MAX + AUDIT_PAGE_MAX * 1200 < FRAME_BYTES_MAX,
            "a page of the audit log fits a frame, with names of any kind",
        ),
        (
            WATCH_MATCH_BYTES_MAX < FETCH_VALUE_CHARS_MAX,
            "a value that was cut is not what a watch waits for",
        ),
        (
            SCHEDULE_LATE_MAX > BEAT_STILL_MAX + BEAT_INTERVAL + BEAT_READ_MAX,
            "no slot is missed while a worker takes over from one that stood still",
        ),
        (
            SCHEDULE_MADE_UP_MAX <= SCHEDULE_FIRES_KEPT as usize,
            "the log holds all that was made up for",
        ),
        (BATCH_BYTES_MAX >= CIPHERTEXT_BYTES_MAX, "a batch has room for any one message"),
        (SENDS_BURST >= SENDS_PER_SECOND, "a second's sends fit the bucket"),
        (PONG_DEADLINE > 2 * PING_INTERVAL, "two pings may go unanswered"),
        (GRACE > client_is_back, "the reference's client comes back after 1, 3 and 7 s"),
        (NOTIFY_BYTES_MAX < 8000, "PostgreSQL refuses a payload of 8000 bytes"),
        (STATE_VALUE_BYTES_MAX < LIST_BYTES_MAX, "a list has room for any one value"),
        (LIST_BYTES_MAX + rest_of_frame < FRAME_BYTES_MAX, "a list fits a frame"),
        (STATE_REMOVED_AGE_MAX > 2 * LOOK_INTERVAL, "a look finds a removed key"),
        (BEAT_STILL_MAX > 2 * BEAT_INTERVAL, "a node may miss a beat"),
        (BEAT_READ_MAX < BEAT_INTERVAL, "a worker sees every beat"),
        (FRESH > LOOK_INTERVAL, "a fresh row is found by a look"),
        (INBOX_AGE_MAX > DELIVERY_AGE_MAX, "no message outlives what its recipient remembers"),
        (INBOX_AGE_MAX > REPEAT_AGE_MAX, "no repeat does either"),
        (SESSION_AGE_MAX >= DELIVERY_AGE_MAX, "no mailbox goes before its mail"),
    ] {
        assert!(fits, "{why}");
    }
}
