//! The quirks of the reference (wire-protocol 11), each by its number.
//!
//! **K** is kept for old clients, and a test named after its number shows it. **F** is mended, and
//! its test shows both the mended behaviour and that an old client still lives with it. [`TABLE`]
//! says of each number which tests these are, or which capability brings them; it is checked to be
//! complete, and its tests to exist.

mod delivery;
mod identity;
mod transport;
mod work;

use std::{collections::BTreeSet, fs, path::Path};

use Mark::{F, K, KF};

/// How many quirks the contract numbers.
const QUIRKS: u8 = 46;

/// Whether a quirk is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// Kept.
    K,
    /// Mended.
    F,
    /// Kept towards the client, mended behind it.
    KF,
}

/// Number, mark, what it is about, the tests that show it, and the capability that has yet to.
type Row = (u8, Mark, &'static str, &'static [&'static str], &'static str);

/// Where each quirk is.
const TABLE: &[Row] = &[
    (
        1,
        K,
        "frames of at least 2 MiB",
        &["q01_frames_of_2_mib_pass_both_ways", "q01_a_file_of_a_mebibyte_comes_back"],
        "",
    ),
    (2, K, "the path is `/ws`", &["q02_the_socket_is_at_ws_and_nowhere_else"], ""),
    (3, F, "no deadline for the hello", &["q03_who_says_no_hello_is_closed_after_ten_seconds"], ""),
    (
        4,
        F,
        "frames of one socket race",
        &[
            "q04_groups_of_a_launch_are_all_joined_and_heard_across_edges",
            "q04_pipelined_sends_arrive_in_their_order",
        ],
        "",
    ),
    (5, F, "a bad hello is not answered", &["q05_a_bad_hello_is_answered_and_closed"], ""),
    (
        6,
        F,
        "a stray error fails what is pending",
        &[
            "q06_a_stray_error_is_never_sent_and_what_is_pending_gets_its_own_answer",
            "q06_a_failing_send_fails_itself_and_nothing_else",
            "q06_a_failure_of_ours_is_no_word_for_an_old_client",
            "q06_claims_completions_and_forgetting_without_an_id_are_never_answered",
            "q06_claims_and_completions_that_come_to_nothing_fail_nothing_that_waits",
        ],
        "files, mesh SQL, vectors: each with its own messages",
    ),
    (7, F, "mesh SQL has no rows", &[], "mesh SQL"),
    (
        8,
        F,
        "a webhook's name is taken for ever",
        &[
            "q08_a_name_that_is_taken_is_told_and_one_that_ended_is_free",
            "q08_an_old_client_is_told_of_a_taken_name_and_takes_it_when_it_is_free",
        ],
        "",
    ),
    (
        9,
        KF,
        "reading a state key that is not there",
        &["q09_a_key_that_is_not_there_is_answered_as_not_found"],
        "",
    ),
    (
        10,
        F,
        "a reminder to a key loses its subtype",
        &["q10_a_reminder_to_a_key_keeps_its_subtype"],
        "",
    ),
    (
        11,
        F,
        "the audit chain does not verify",
        &["q11_the_chain_verifies_whoever_writes_and_is_computed_again_from_what_was_said"],
        "",
    ),
    (12, F, "vector ids, search and counts", &[], "vectors"),
    (
        13,
        F,
        "what nobody can collect is queued",
        &["q13_what_nobody_can_collect_is_refused_and_what_somebody_can_is_kept"],
        "",
    ),
    (
        14,
        K,
        "member keys are targets that an old client cannot open",
        &[
            "q14_messages_are_routed_by_both_keys",
            "q14_member_mail_waits_for_a_client_that_can_open_it",
        ],
        "",
    ),
    (
        15,
        K,
        "session keys are of one process",
        &[
            "q15_what_was_sent_to_an_old_session_key_waits_for_that_key_and_member_mail_survives",
            "q15_a_restarted_process_has_another_key_and_none_of_the_old_ones_mail",
        ],
        "files",
    ),
    (
        16,
        K,
        "multicasts are for who is there, at once",
        &[
            "q16_multicasts_ignore_status_and_priority",
            "q16_an_old_client_never_gets_a_multicast_of_its_absence",
        ],
        "",
    ),
    (
        17,
        F,
        "groups have no ancestors when it counts",
        &["q17_a_group_hears_what_its_parents_are_told_and_nothing_else"],
        "",
    ),
    (
        18,
        F,
        "marked delivered before it is written",
        &[
            "q18_what_a_dying_connection_was_sent_comes_again",
            "q18_a_repeat_has_the_id_of_the_first",
        ],
        "",
    ),
    (
        19,
        KF,
        "hooks match by folder",
        &[
            "q19_a_hook_finds_its_session_by_id_and_else_by_folder",
            "q19_a_hook_that_comes_first_waits_for_its_session",
        ],
        "",
    ),
    (
        20,
        F,
        "`idle` releases nothing, drains rewrite the status",
        &["q20_no_push_rewrites_a_status_and_idle_releases_what_was_held"],
        "",
    ),
    (21, K, "`uploadedBy` is the mesh's slug", &[], "files"),
    (
        22,
        K,
        "paths under the broker's URL",
        &["q22_join_hook_and_health_are_at_the_root_of_the_broker_url"],
        "files",
    ),
    (
        23,
        F,
        "a hello's member id is not compared",
        &["q23_a_hello_is_good_for_its_own_member_id"],
        "",
    ),
    (
        24,
        K,
        "who was ever here returns",
        &["q24_a_member_that_was_here_before_returns_even_as_another_session"],
        "",
    ),
    (25, K, "events carry `name`", &["q25_events_carry_name"], ""),
    (
        26,
        F,
        "totals are counted twice",
        &[
            "q26_totals_are_the_highest_ever_reported_and_never_added",
            "q26_totals_go_on_over_restarts_and_are_counted_once",
        ],
        "",
    ),
    (
        27,
        K,
        "whose name is shown",
        &[
            "q27_events_and_lists_have_the_sessions_name",
            "q27_memories_and_tasks_have_the_enrolment_name",
            "q27_data_has_its_publishers_enrolment_name_and_reaches_all_who_listen_but_him",
            "q27_the_author_of_a_key_or_context_is_the_member_whatever_its_session_is_called",
            "q27_what_an_old_client_leaves_has_the_name_of_its_enrolment",
        ],
        "",
    ),
    (
        28,
        F,
        "state is shared by a member's sessions",
        &["q28_sessions_of_a_member_keep_their_own_state"],
        "",
    ),
    (
        29,
        F,
        "a stale peer is routed to and not listed",
        &["q29_a_silent_socket_is_closed_and_its_session_is_listed_when_it_is_back"],
        "",
    ),
    (
        30,
        F,
        "a welcome on stdout",
        &[
            "q30_standard_output_is_what_was_asked_for_and_nothing_else",
            "q30_the_first_line_and_every_other_is_of_the_protocol",
        ],
        "",
    ),
    (
        31,
        F,
        "`state get` and `state list` do not parse",
        &["q31_a_key_is_set_read_listed_and_removed_by_commands"],
        "",
    ),
    (32, F, "`launch --join` crashes", &[], "launch"),
    (
        33,
        F,
        "the tools of schedules crash",
        &["q33_an_agent_reminds_itself_and_a_peer_and_ends_what_is_not_needed"],
        "",
    ),
    (
        34,
        F,
        "webhooks look like failed decryption",
        &[
            "q34_a_post_is_shown_by_an_old_client",
            "q34_a_webhook_of_an_old_client_is_posted_to_and_shown_by_everybody",
        ],
        "",
    ),
    (
        35,
        F,
        "`meta` has values that are no strings",
        &["q35_meta_values_are_strings_that_end_no_attribute_and_keys_are_identifiers"],
        "",
    ),
    (
        36,
        F,
        "pushes before the host listens are not shown",
        &["q36_what_arrives_before_the_host_listens_is_shown_when_it_does"],
        "",
    ),
    (
        37,
        K,
        "what a client does not do again after a reconnect",
        &[
            "q37_after_a_reconnect_groups_are_heard_without_being_joined_again",
            "q37_a_subscription_ends_with_its_socket_and_by_unsubscribing",
            "q37_after_a_reconnect_it_listens_to_nothing_until_its_user_subscribes_again",
            "q37_after_a_reconnect_a_watch_goes_on_without_being_made_again",
        ],
        "MCP registry",
    ),
    (38, K, "`building` first", &[], "services"),
    (39, F, "forwarded calls have no handler", &[], "MCP registry"),
    (
        40,
        F,
        "`remind --in` takes its value for the text",
        &["q40_what_cannot_be_is_refused_before_anything_is_asked"],
        "",
    ),
    (
        41,
        K,
        "success without confirmation",
        &[
            "q41_what_has_no_confirmation_is_done_all_the_same",
            "q41_a_key_that_is_set_without_confirmation_is_set",
            "q41_a_task_is_claimed_and_completed_without_confirmation",
            "q41_a_task_of_either_is_claimed_and_completed_by_the_other",
        ],
        "mesh SQL",
    ),
    (42, F, "sizes and names of shared files", &[], "files"),
    (
        43,
        F,
        "the variable for the broker's URL has no effect",
        &["q43_the_edge_that_was_chosen_is_the_one_that_is_used"],
        "",
    ),
    (44, K, "vault replies go by `_reqId` only", &[], "vault"),
    (45, F, "the list of approved tools is not whole", &[], "install"),
    (
        46,
        F,
        "state strings that look like JSON",
        &["q46_every_json_value_comes_back_as_it_was"],
        "",
    ),
];

/// Quirks without a number that are shown here.
const UNNUMBERED: &[(&str, &[&str])] = &[
    ("`low` is pushed as `next` is (K)", &["low_is_pushed_as_next_is"]),
    (
        "`@all` is `*`, the sender excepted, its member's other sessions not (K)",
        &["all_is_everybody_but_the_sender_its_other_sessions_included"],
    ),
    ("the words of `message_status` (K)", &["message_status_keeps_the_contracts_words"]),
    (
        "`completed` is an alias of `done` (F)",
        &[
            "tasks_are_listed_newest_first_and_filtered_by_status_and_assignee",
            "q41_a_task_of_either_is_claimed_and_completed_by_the_other",
        ],
    ),
    (
        "`mesh_info` counts who can be seen (F)",
        &["who_is_hidden_is_counted_for_its_own_member_only"],
    ),
    (
        "group names are never SQL (F)",
        &["q04_groups_of_a_launch_are_all_joined_and_heard_across_edges"],
    ),
];

/// Whose tests show quirks: this one's, and the client's.
const PROGRAMS: [&str; 2] = ["tests/it", "../cli/tests/it"];

/// The names of all tests of a program.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for test in source.split("test]\n").skip(1) {
            let name = test.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
}

#[test]
fn the_table_has_every_quirk_once_and_its_tests_are_there() {
    let mut known = BTreeSet::new();
    for program in PROGRAMS {
        tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join(program), &mut known);
    }

    let numbers: Vec<u8> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(numbers, (1..=QUIRKS).collect::<Vec<u8>>());
    for (no, mark, what, named, later) in TABLE {
        assert!(!named.is_empty() || !later.is_empty(), "Q{no} ({mark:?}), {what}: nowhere");
        for name in *named {
            assert!(known.contains(*name), "Q{no}, {what}: there is no test {name}");
            assert!(name.starts_with(&format!("q{no:02}_")), "Q{no}: {name} is not its own");
        }
    }
    let named: BTreeSet<&str> = TABLE.iter().flat_map(|row| row.3).copied().collect();
    for (what, others) in UNNUMBERED {
        assert!(others.iter().all(|name| known.contains(*name)), "{what}");
    }
    // The other way round: whoever adds such a test says so in the table.
    let is_numbered = |name: &str| {
        let digits = name.strip_prefix('q').and_then(|rest| rest.split('_').next());
        digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit()))
    };
    let unnamed: Vec<&String> =
        known.iter().filter(|name| is_numbered(name) && !named.contains(name.as_str())).collect();
    assert_eq!(unnamed, Vec::<&String>::new());
}
