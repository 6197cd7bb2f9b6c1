//! The rows of [`super`], by capability.

use super::Row;

const MOVED: (&str, &str) = (
    "superseded",
    "what_is_said_over_an_attachment_that_was_replaced_is_refused_and_changes_nothing",
);
const STATE_WORDS: &str = "what_is_no_key_or_too_much_is_refused_with_the_number";
const QUERIES: &str = "what_is_looked_for_has_a_limit_wherever_rows_are_compared_with_it";
const STREAM_NAMES: &str = "names_counts_and_data_have_their_limits";
const TASK_SIZES: &str = "what_a_task_is_made_of_and_how_many_there_are_have_limits";
const NOT_CLAIMED: &str = "ours_are_told_why_a_claim_failed_and_old_clients_only_if_they_asked";
const LEASE: &str = "a_lease_that_is_not_renewed_ends_and_another_claims_the_task";
const RENEWED: &str = "a_lease_is_held_for_as_long_as_it_is_renewed";
const NO_WEBHOOK: &str = "what_cannot_be_a_webhook_is_refused_by_its_code";
const WRONG_QUESTION: &str =
    "a_question_to_a_peer_with_a_wrong_field_is_refused_and_an_answer_with_one_is_nothing";
const QUESTION: &[(&str, &str)] = &[
    ("invalid_message", WRONG_QUESTION),
    ("too_large", "a_path_has_its_limit"),
    ("peer_not_found", "a_member_key_asks_the_member_s_first_socket_and_an_unknown_key_nobody"),
    ("peer_gone", "a_peer_that_goes_away_fails_what_it_was_asked_by_name"),
    ("timeout", "questions_that_nobody_answers_end_at_their_deadline_and_are_forgotten"),
    ("too_many_calls", "a_session_has_so_many_open_questions_and_no_more"),
    ("too_many_calls", "a_peer_is_asked_so_much_at_once_and_no_more"),
];

const NO_SCHEDULE: &str = "what_does_not_fit_together_is_refused";
const SCHEDULE_ANYWHERE: &str = "ours_pauses_resumes_runs_and_reads_from_any_edge_and_session";
const NOT_YOURS: (&str, &str) =
    ("schedule_not_found", "the_schedules_of_a_member_are_nobody_elses");
const NO_TARGET: &str = "what_cannot_be_looked_at_is_refused_with_the_reason";
const NO_WATCH: &str = "a_field_that_cannot_be_is_refused_by_its_name";

/// Every message of what is shared.
pub const TABLE: &[Row] = &[
    (
        "set_state",
        &[
            "a_key_is_set_told_read_and_listed_across_edges",
            "twenty_writers_on_two_edges_leave_a_hundred_peers_with_the_same",
        ],
        &[
            ("invalid_message", STATE_WORDS),
            ("too_large", STATE_WORDS),
            ("version_mismatch", "another_version_is_refused_with_what_the_key_holds"),
            ("state_full", "a_mesh_has_so_many_keys"),
            MOVED,
        ],
    ),
    (
        "get_state",
        &["a_key_is_set_told_read_and_listed_across_edges"],
        &[("invalid_message", STATE_WORDS)],
    ),
    ("list_state", &["a_key_is_set_told_read_and_listed_across_edges"], &[("too_large", QUERIES)]),
    (
        "delete_state",
        &["a_removed_key_is_told_as_null_and_not_there_any_more"],
        &[
            ("not_found", "a_removed_key_is_told_as_null_and_not_there_any_more"),
            ("version_mismatch", "a_removed_key_is_told_as_null_and_not_there_any_more"),
            MOVED,
        ],
    ),
    (
        "share_context",
        &[
            "a_context_is_told_found_and_listed_across_edges",
            "two_members_of_one_name_are_both_told",
        ],
        &[("too_large", "a_search_finds_twenty_and_what_is_too_much_is_refused"), MOVED],
    ),
    (
        "get_context",
        &["a_context_is_told_found_and_listed_across_edges"],
        &[("too_large", QUERIES)],
    ),
    ("list_contexts", &["a_context_is_told_found_and_listed_across_edges"], &[]),
    (
        "share_skill",
        &["a_skill_is_shared_read_listed_and_removed_across_edges"],
        &[
            ("invalid_message", "what_is_too_much_is_refused_with_the_number"),
            ("too_large", "what_is_too_much_is_refused_with_the_number"),
            ("skills_full", "what_is_too_much_is_refused_with_the_number"),
            ("skill_taken", "anothers_skill_is_neither_overwritten_nor_removed"),
            (
                "forbidden",
                "a_skill_that_is_removed_while_another_asks_for_its_name_is_not_the_others_unawares",
            ),
        ],
    ),
    ("get_skill", &["a_skill_is_shared_read_listed_and_removed_across_edges"], &[]),
    (
        "list_skills",
        &["a_skill_is_shared_read_listed_and_removed_across_edges"],
        &[("too_large", QUERIES)],
    ),
    (
        "remove_skill",
        &["a_skill_is_shared_read_listed_and_removed_across_edges"],
        &[("skill_taken", "anothers_skill_is_neither_overwritten_nor_removed")],
    ),
    (
        "peer_file_request",
        &["a_file_comes_back_by_four_frames_on_one_edge_and_across_two"],
        QUESTION,
    ),
    (
        "peer_file_response",
        &[
            "a_file_comes_back_by_four_frames_on_one_edge_and_across_two",
            "an_answer_is_taken_from_nobody_but_the_peer_that_was_asked",
        ],
        &[],
    ),
    (
        "peer_dir_request",
        &["a_folder_is_listed_and_an_error_of_the_target_is_passed_on_as_it_is"],
        &[
            ("invalid_message", WRONG_QUESTION),
            ("too_large", "a_path_has_its_limit"),
            ("peer_not_found", "questions_for_folders_end_as_those_for_files_do"),
            ("peer_gone", "questions_for_folders_end_as_those_for_files_do"),
            ("timeout", "questions_for_folders_end_as_those_for_files_do"),
            ("too_many_calls", "questions_for_folders_end_as_those_for_files_do"),
        ],
    ),
    (
        "peer_dir_response",
        &["a_folder_is_listed_and_an_error_of_the_target_is_passed_on_as_it_is"],
        &[],
    ),
    (
        "create_stream",
        &["a_stream_is_created_once_and_listed_with_its_true_count"],
        &[
            ("invalid_message", STREAM_NAMES),
            ("too_large", STREAM_NAMES),
            ("limit", "a_mesh_has_so_many_streams_and_no_more"),
        ],
    ),
    (
        "publish",
        &[
            "q27_data_has_its_publishers_enrolment_name_and_reaches_all_who_listen_but_him",
            "the_data_of_one_publisher_comes_in_its_order_small_or_large",
        ],
        &[
            ("invalid_message", STREAM_NAMES),
            ("too_large", STREAM_NAMES),
            (
                "too_large",
                "data_that_is_too_large_to_be_given_on_is_refused_and_the_largest_arrives",
            ),
        ],
    ),
    (
        "subscribe",
        &["a_stream_is_created_once_and_listed_with_its_true_count"],
        &[("invalid_message", STREAM_NAMES), ("too_large", STREAM_NAMES), ("limit", STREAM_NAMES)],
    ),
    (
        "unsubscribe",
        &["q37_a_subscription_ends_with_its_socket_and_by_unsubscribing"],
        &[("invalid_message", STREAM_NAMES), ("too_large", STREAM_NAMES)],
    ),
    ("list_streams", &["a_stream_is_created_once_and_listed_with_its_true_count"], &[]),
    (
        "remember",
        &["what_one_old_client_remembers_another_recalls_on_another_edge_as_the_contract_says"],
        &[
            ("invalid_message", "a_memory_its_tags_a_query_and_how_many_there_are_have_limits"),
            ("too_large", "a_memory_its_tags_a_query_and_how_many_there_are_have_limits"),
            ("memory_full", "a_memory_its_tags_a_query_and_how_many_there_are_have_limits"),
        ],
    ),
    (
        "recall",
        &["what_one_old_client_remembers_another_recalls_on_another_edge_as_the_contract_says"],
        &[
            ("invalid_message", "a_memory_its_tags_a_query_and_how_many_there_are_have_limits"),
            ("too_large", "a_memory_its_tags_a_query_and_how_many_there_are_have_limits"),
        ],
    ),
    (
        "forget",
        &["what_is_forgotten_is_never_recalled_in_any_way"],
        &[
            ("not_found", "an_unknown_memory_is_told_to_ours_and_acknowledged_to_old_clients"),
            ("forbidden", "the_author_and_admins_may_have_it_forgotten_and_nobody_else"),
        ],
    ),
    (
        "create_task",
        &["old_clients_share_a_task_across_edges_as_the_contract_says"],
        &[("too_large", TASK_SIZES), ("tasks_full", TASK_SIZES), ("task_not_found", NOT_CLAIMED)],
    ),
    (
        "claim_task",
        &["a_task_goes_to_the_first_claimer_only"],
        &[("invalid_message", NOT_CLAIMED), ("task_not_claimable", NOT_CLAIMED)],
    ),
    (
        "complete_task",
        &["anybody_completes_a_task_in_any_state_and_ours_read_the_result"],
        &[("too_large", TASK_SIZES), ("task_not_found", NOT_CLAIMED), ("task_not_held", LEASE)],
    ),
    ("list_tasks", &["old_clients_share_a_task_across_edges_as_the_contract_says"], &[]),
    (
        "claim_next",
        &["fifty_claimers_on_two_edges_share_the_tasks_exactly"],
        &[
            ("invalid_message", TASK_SIZES),
            ("unavailable", "a_claimer_passes_over_what_is_just_being_claimed_and_takes_another"),
        ],
    ),
    (
        "renew_task",
        &["a_renewal_is_seen_on_another_edge_and_holds_the_task_there"],
        &[("invalid_message", RENEWED), ("task_not_found", RENEWED), ("task_not_held", RENEWED)],
    ),
    (
        "get_task",
        &["anybody_completes_a_task_in_any_state_and_ours_read_the_result"],
        &[("task_not_found", NOT_CLAIMED)],
    ),
    (
        "watch_tasks",
        &["those_who_watch_are_told_what_happens_and_nobody_else"],
        &[("limit", "who_follows_as_much_as_it_may_watches_no_tasks_until_there_is_room")],
    ),
    ("mesh_info", &["an_old_client_is_told_what_the_mesh_has_on_every_edge"], &[]),
    (
        "create_webhook",
        &[
            "a_webhook_is_made_listed_and_ended",
            "a_post_reaches_everybody_on_every_edge_whatever_they_do_and_show",
        ],
        &[
            ("invalid_message", NO_WEBHOOK),
            ("invalid_webhook", NO_WEBHOOK),
            ("unknown_target", NO_WEBHOOK),
            ("webhook_exists", "q08_a_name_that_is_taken_is_told_and_one_that_ended_is_free"),
            ("limit", "a_mesh_has_so_many_webhooks_and_no_more"),
        ],
    ),
    ("list_webhooks", &["a_webhook_is_made_listed_and_ended"], &[]),
    ("delete_webhook", &["a_webhook_is_made_listed_and_ended"], &[]),
    (
        "audit_query",
        &["who_comes_sends_and_goes_is_in_the_log_of_its_mesh_on_every_edge"],
        &[
            ("invalid_message", "a_wrong_field_is_named_to_ours_and_no_word_to_an_old_client"),
            ("audit_query_error", "a_log_that_cannot_be_read_is_an_error_with_the_contracts_code"),
        ],
    ),
    (
        "audit_verify",
        &["a_changed_deleted_or_added_entry_is_named_on_every_edge_and_over_rest"],
        &[
            ("invalid_message", "a_wrong_field_is_named_to_ours_and_no_word_to_an_old_client"),
            ("audit_verify_error", "a_log_that_cannot_be_read_is_an_error_with_the_contracts_code"),
        ],
    ),
    (
        "schedule",
        &["a_schedule_for_a_group_reaches_it_across_edges_and_not_its_creator"],
        &[
            ("invalid_message", NO_SCHEDULE),
            ("too_large", NO_SCHEDULE),
            ("unknown_target", NO_SCHEDULE),
            ("invalid_time", NO_SCHEDULE),
            ("invalid_timezone", NO_SCHEDULE),
            ("no_clock", NO_SCHEDULE),
            (
                "invalid_cron",
                "an_expression_that_is_none_or_never_fires_is_refused_with_the_reason",
            ),
            ("schedule_limit", "the_limits_of_members_and_meshes_are_told_with_their_numbers"),
            ("unauthorized", "who_was_revoked_a_moment_ago_makes_no_schedule"),
        ],
    ),
    ("list_scheduled", &[SCHEDULE_ANYWHERE], &[]),
    (
        "cancel_scheduled",
        &[
            "a_reminder_of_one_command_is_listed_and_cancelled_by_the_next_on_another_edge",
            "an_old_clients_cron_entry_is_listed_with_its_count_and_cancelled",
        ],
        &[],
    ),
    ("get_scheduled", &[SCHEDULE_ANYWHERE], &[NOT_YOURS]),
    ("pause_scheduled", &[SCHEDULE_ANYWHERE], &[NOT_YOURS]),
    ("resume_scheduled", &[SCHEDULE_ANYWHERE], &[NOT_YOURS]),
    ("run_scheduled", &[SCHEDULE_ANYWHERE], &[NOT_YOURS]),
    ("set_clock", &["a_clock_is_everybodys_on_every_edge"], &[]),
    (
        "pause_clock",
        &["a_clock_is_everybodys_on_every_edge"],
        &[("no_clock", "without_a_clock_there_is_nothing_to_pause_and_reading_says_so")],
    ),
    (
        "resume_clock",
        &["a_clock_is_everybodys_on_every_edge"],
        &[("no_clock", "without_a_clock_there_is_nothing_to_pause_and_reading_says_so")],
    ),
    ("get_clock", &["a_clock_is_everybodys_on_every_edge"], &[]),
    (
        "watch",
        &[
            "a_watch_is_made_listed_from_any_edge_and_ended",
            "every_session_of_the_member_is_told_on_any_edge_in_the_contracts_form",
        ],
        &[
            ("invalid_url", NO_TARGET),
            ("url_refused", NO_TARGET),
            ("invalid_watch", NO_WATCH),
            ("invalid_message", NO_WATCH),
            ("watch_limit", "the_watch_that_is_one_too_many_is_refused_with_the_number"),
            ("unauthorized", "who_was_revoked_a_moment_ago_makes_no_watch"),
        ],
    ),
    (
        "unwatch",
        &["a_watch_is_made_listed_from_any_edge_and_ended"],
        &[
            ("forbidden", "only_its_member_and_admins_end_a_watch_and_only_its_member_lists_it"),
            (
                "watch_not_found",
                "only_its_member_and_admins_end_a_watch_and_only_its_member_lists_it",
            ),
        ],
    ),
    ("watch_list", &["a_watch_is_made_listed_from_any_edge_and_ended"], &[]),
    (
        "watch_test",
        &["a_check_is_tried_while_the_session_goes_on"],
        &[
            ("invalid_url", NO_TARGET),
            ("url_refused", NO_TARGET),
            ("too_many_calls", "checks_that_are_tried_have_their_room_and_end_with_their_edge"),
            ("rate_limited", "a_member_tries_so_many_checks_a_minute"),
            ("unavailable", "checks_that_are_tried_have_their_room_and_end_with_their_edge"),
        ],
    ),
];
