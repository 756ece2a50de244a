//! One suite for every store: what the trait promises, shown on the trait alone.
//!
//! Each check gets a store of its own, empty and migrated. Unit tests run the suite over SQLite in
//! memory and in a file; `tests/integration/store.rs` includes these same files and runs them over
//! PostgreSQL. So that both can, the files name the store only through their parent module.

pub mod admission;
pub mod adoption;
pub mod approvals;
pub mod audit;
pub mod departed;
pub mod desks;
pub mod drills;
pub mod given;
pub mod health;
pub mod identifiers;
pub mod intake;
pub mod leases;
pub mod outbox;
pub mod overruling;
pub mod pauses;
pub mod people;
pub mod promises;
pub mod reads;
pub mod retention;
pub mod settling;
pub mod tampering;
pub mod unreadable;
pub mod users;
pub mod wishes;

use std::any::Any;
use std::sync::Arc;

use super::{Store, domain};

/// A fresh store, and whatever must live as long as it.
pub struct Home {
    /// The store.
    pub store: Arc<dyn Store>,
    /// A temporary folder, for instance.
    pub keeps: Box<dyn Any + Send>,
}

/// Turns every check into a test of its own over the stores that `$open` makes from a name.
macro_rules! suite {
    ($open:path) => {
        conformance::suite!(@ $open,
            intake: [
                a3_a_repeated_event_is_recorded_once,
                a3_many_consumers_record_an_event_once,
                a4_a_dead_letter_is_kept_whole_and_once,
                checkpoints_never_go_back,
                a3_nothing_is_recorded_on_top_of_a_hole,
            ]
            admission: [
                a3_events_of_one_case_see_each_other_within_a_batch,
                many_workers_admit_each_event_once,
                admission_keeps_what_the_worker_has_room_for,
                runs_born_together_follow_each_other,
                b7_a_halted_case_reaches_all_its_runs_and_their_leases_end,
                b7_a_rescheduled_case_moves_and_its_lease_ends,
                b7_a_case_begun_anew_waits_for_its_old_children_and_its_new_ones,
                b7_a_case_called_off_in_time_is_over,
                b7_a_case_put_off_is_halted_and_goes_on_in_another,
                a_case_called_off_before_it_was_heard_of_is_recorded_as_ended,
            ]
            overruling: [
                b7_admission_sees_no_case_half_ended,
                b7_a_release_stops_the_case_under_way_in_its_own_transaction,
                b9_news_of_a_legal_hold_makes_what_a_person_has_of_its_subject_due,
            ]
            leases: [
                b7_what_a_case_began_is_held_on_to_where_one_batch_opens_it_and_tells_more,
                claims_follow_priority_and_leave_out_busy_connectors,
                b3_many_workers_never_hold_the_same_run,
                b4_a_connector_fills_no_more_than_its_room,
                b4_what_there_is_no_room_for_hides_nothing_behind_it,
                b3_a_worker_thought_dead_cannot_write,
                a_heartbeat_keeps_a_worker_alive_until_it_is_buried,
                released_and_discharged_runs_go_to_others,
                b4_a_run_that_is_put_back_gives_others_their_turn,
                a_run_without_a_living_owner_is_freed,
                b3_a_run_that_is_freed_by_a_wrong_clock_is_due_as_it_was,
            ]
            settling: [
                a_due_step_keeps_the_lease_and_a_wait_releases_it,
                children_are_born_leased_and_wake_their_parent_at_zero,
                b2_a_parent_is_woken_exactly_once_by_many_workers,
                one_refused_settlement_does_not_stop_the_others,
                b2_a_repeated_settlement_is_not_applied_twice,
                a_run_that_gathers_nothing_goes_on_at_once,
                a_parent_and_its_child_settle_in_one_batch,
                without_room_children_wait_to_be_claimed,
                a_large_batch_settles_whole,
            ]
            promises: [
                p_a_removal_cannot_end_verified_without_proof,
                p_a_removal_cannot_end_attested_without_a_closed_task,
                p_a_removal_cannot_end_halted_unless_its_case_is,
                p_a_closed_task_that_settled_a_removal_stays_closed,
                p_a_run_ends_once,
                p_a_run_cannot_end_before_its_children,
                p_an_open_run_is_never_forgotten,
                p_a_case_ends_after_its_runs,
                f1_a_run_has_one_task,
                d2_a_secret_has_one_rotation_under_way,
                d2_what_is_wished_of_a_secret_during_its_rotation_follows_it,
            ]
            approvals: [
                c4_what_was_approved_binds_and_is_remembered,
                c4_a_disapproval_changes_nothing,
                p_two_people_approve,
                p_a_matter_has_one_open_proposal,
                p_only_what_was_approved_binds,
                p_what_was_decided_and_what_bound_stays,
                many_workers_bind_a_narrower_text_once,
            ]
            drills: [
                c8_a_connector_has_one_drill_under_way,
                c8_a_drill_is_led_on_by_one_worker_at_a_time,
                c8_what_is_in_force_is_known_to_be_drilled,
                p_a_drill_passes_under_a_manifest,
                c4_examinations_are_remembered,
                c8_what_was_barred_is_woken_and_nothing_else,
            ]
            wishes: [
                a_wish_waits_while_its_run_is_leased,
                wishes_about_one_task_see_each_other,
                a_wish_leaves_a_woken_run_awake,
                a_wish_without_a_task_is_answered,
                a_wish_wakes_a_worker,
                g4_a_pause_waits_behind_no_wishes_about_tasks,
            ]
            people: [
                f5_an_overdue_task_is_escalated_once_and_again_when_its_time_has_come,
                f5_a_desk_that_is_told_gets_a_copy,
                f5_a_task_whose_run_is_leased_is_escalated_when_it_is_free,
                f5_tasks_of_leased_runs_keep_no_other_from_being_told,
                p_two_people_attest_what_is_privileged,
                p_nobody_approves_what_they_proposed_whatever_the_kind,
                g1_many_workers_cannot_overrun_a_brake,
                g1_a_brake_counts_once_within_its_window_and_all_or_none,
                g1_a_share_is_of_the_accounts_that_are_known,
                g2_removals_under_way_are_known_by_their_accounts,
            ]
            pauses: [
                g4_a_pause_lasts_until_it_is_ended_and_every_worker_says_that_it_knows,
                g4_a_pause_that_nobody_ends_is_told_by_one_worker,
                g4_paused_work_is_counted_where_it_waits,
            ]
            identifiers: [
                a5_an_event_sees_the_cases_of_others_who_share_an_identifier,
            ]
            outbox: [
                one_worker_publishes_a_key_and_in_order,
                messages_of_topics_left_out_keep_no_others_back,
                messages_of_a_dead_worker_are_taken_by_another,
                messages_without_a_living_owner_are_freed,
                a_message_is_posted_once_and_marks_its_dead_letter,
                a_dead_letter_waits_until_somebody_sets_it_aside,
            ]
            desks: [
                f2_a_task_for_a_desk_gets_one_copy_in_one_hand,
                f2_the_task_of_a_drill_goes_to_no_desk,
                f2_a_copy_of_a_worker_that_is_gone_is_taken_over,
                f2_a_change_of_the_task_makes_its_copy_due_unless_the_desk_is_down,
                f2_what_a_desk_says_is_kept_while_its_copy_is_in_hand,
                f2_many_workers_never_work_on_the_same_copy,
            ]
            reads: [
                a_case_tells_its_story,
                a_case_tells_what_is_on_a_persons_word,
                cases_are_found_by_subject_event_and_state,
                tasks_are_listed_by_priority_then_deadline,
                a_state_of_tasks_is_looked_for_before_the_list_is_cut,
                definitions_are_kept,
                counts_add_up,
                the_schema_is_checked,
            ]
            departed: [
                e3_accounts_whose_removal_ended_are_known_by_the_last_of_them,
                e3_all_cases_of_exactly_one_subject_are_found,
                e3_a_text_with_a_null_character_is_kept_and_keeps_nothing_from_being_read,
            ]
            audit: [
                e6_every_transaction_leaves_a_link,
                e6_a_link_covers_only_what_was_taken,
                e6_checkpoints_close_windows_one_after_the_other,
                e6_many_workers_each_have_strands_of_their_own,
            ]
            retention: [
                e6_a_closed_period_goes_and_the_rest_holds,
                e6_what_is_open_or_held_stays,
                b9_a_subject_stays_while_any_matter_holds_it,
                b9_a_late_lifting_of_an_older_revision_lets_nothing_go,
                b9_what_lifted_a_hold_does_not_go_before_what_placed_it,
                b9_holds_are_told_of_their_subject_alone_and_after_their_case_has_ended,
                a3_an_event_that_went_opens_no_second_case,
                e6_a_drop_that_another_overtook_begins_again,
                e6_what_changes_meanwhile_is_as_it_was_written,
            ]
            health: [
                c5_a_listing_refreshes_and_only_a_whole_one_takes_away,
                c5_a_large_listing_is_kept_whole,
                c5_a_survey_is_done_by_one_worker_at_a_time,
                c5_a_survey_of_a_worker_that_is_gone_is_begun_anew,
                c5_many_workers_never_survey_the_same_connector,
                c5_health_is_a_series_that_stays_bounded,
                c5_calls_of_runs_are_added_up,
                c5_a_task_about_a_connector_is_kept_with_its_survey,
                c10_removals_are_read_in_the_order_of_their_ends,
                c10_searches_that_found_nobody_are_read_with_the_removals,
            ]
            users: [
                h1_a_user_is_added_once_and_changes_follow_each_other,
                h1_a_session_is_replaced_and_ended,
                h1_a_token_that_was_taken_back_stays_so,
                h1_acts_are_told_newest_first,
                h1_leavers_are_seen_when_their_case_takes_effect,
            ]
        );
    };
    (@ $open:path, $($file:ident: [$($check:ident),* $(,)?])*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let home = $open(stringify!($check)).await;
                conformance::$file::$check(&home).await;
                conformance::audit::clean(&home).await;
                // The store lets go before what it lies in does.
                drop(home.store);
                drop(home.keeps);
            }
        )*)*
    };
}
pub(crate) use suite;
