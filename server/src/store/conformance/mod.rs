//! What every backend must do, written once.
//!
//! A case is an async function that takes a [`World`]: an empty store and what its sink is told. A backend runs all of
//! them, each as a test of its own and under the same name, by
//!
//! ```ignore
//! async fn empty(sink: FanoutSink) -> (Arc<dyn Store>, impl Send + 'static) { ... }
//! conformance::tests!(empty);
//! ```
//!
//! where the second value keeps alive what the store needs (a folder, a server). A case that is missing from the list
//! below is dead code, and the compiler says so.

pub(super) mod chats;
pub(super) mod events;
pub(super) mod files;
mod fill;
pub(super) mod mailboxes;
pub(super) mod members;
pub(super) mod messages;
pub(super) mod p2p;
pub(super) mod presence;
pub(super) mod relays;
pub(super) mod sessions;
pub(super) mod signals;
pub(super) mod users;
mod world;

pub(super) use fill::fill;
pub(super) use world::World;
pub(crate) use world::{new_user, user};

/// Hands the list of cases to another macro.
macro_rules! cases {
    ($then:ident, $empty:path) => {
        $crate::store::conformance::$then! { $empty =>
            users {
                an_account_is_found_by_id_and_by_address
                an_address_has_one_account
                an_address_raced_for_has_one_account
                accounts_are_found_by_many_addresses_at_once
                a_password_hash_is_replaced
                a_new_name_is_seen_everywhere
            }
            sessions {
                a_session_is_read_back
                a_presented_token_is_replaced
                a_lost_answer_is_forgiven
                a_token_used_twice_ends_the_session
                a_token_presented_at_once_by_many_leaves_one_successor
                a_session_ends_once
                a_session_is_ended_by_its_user_only
                living_sessions_are_listed_newest_first
                an_expired_session_is_not_refreshed
                old_sessions_are_pruned
            }
            chats {
                a_direct_chat_is_one_for_each_pair
                a_direct_chat_opened_from_both_sides_at_once_is_one
                a_group_has_its_owner_and_its_members
                a_group_is_made_once_for_each_client_id
                a_group_asked_for_by_many_at_once_is_one
                a_chat_is_shown_to_its_members_only
                the_list_of_chats_tells_what_is_new
                the_list_of_chats_is_paged
                joining_counts_as_activity
            }
            members {
                owners_add_members
                adding_is_for_owners_of_groups
                a_group_is_filled_to_its_limit_and_not_beyond
                what_was_posted_before_joining_counts_as_read
                who_leaves_can_no_longer_read
                taking_out_is_for_owners_of_groups
                ownership_passes_to_who_joined_first
                an_empty_group_is_out_of_reach
                a_maker_who_left_makes_another_group
                a_read_mark_only_moves_forward
                a_read_mark_is_a_member_s
            }
            messages {
                a_message_is_read_back
                numbers_are_dense_however_many_post
                a_message_is_posted_once_however_often_it_is_sent
                a_client_id_counts_within_its_sender_and_chat
                posting_is_for_members
                posting_reads
                a_reply_needs_its_message
                a_posted_file_must_be_readable
                a_file_is_posted_on_by_who_received_it
                history_is_paged_forwards
                history_is_paged_backwards
                a_deleted_message_is_a_tombstone
                deleting_is_for_senders_and_owners
                changes_are_listed_in_their_order
                deleting_takes_back_its_files
            }
            files {
                an_upload_is_begun_and_resumed
                an_upload_is_resumed_by_its_owner
                a_key_stands_for_one_name_and_size
                a_key_is_its_owner_s
                an_upload_raced_for_is_one
                uploads_under_way_are_limited
                what_uploads_reserve_is_limited
                an_upload_becomes_a_file_once
                a_dropped_upload_is_gone
                stale_uploads_are_listed
                only_a_stale_upload_is_dropped_as_stale
                a_file_is_shown_to_who_received_it
                files_are_listed_newest_first
                a_deleted_file_is_gone_for_everybody
                deleting_a_file_is_for_its_owner
                a_deleted_file_leaves_its_messages
                removals_are_listed_until_forgotten
            }
            p2p {
                an_offer_is_read_back_by_either_side
                an_offer_is_made_once_for_each_client_id
                an_offer_goes_to_another_member_of_the_chat
                open_offers_are_limited
                each_side_says_what_is_its_to_say
                the_path_is_told_while_it_is_accepted
                a_session_outlives_leaving_the_chat
                both_sides_hear_of_every_change
                sessions_of_both_sides_are_listed_newest_first
                sessions_without_news_are_pruned
            }
            relays {
                relays_are_listed_the_least_loaded_first
                relays_that_take_nobody_are_not_listed
            }
            signals {
                a_register_says_what_was_set_last
                a_register_is_set_by_whoever_opened_it_last
                a_value_outlives_its_holder
            }
            mailboxes {
                a_mailbox_is_claimed_once
                a_nameplate_raced_for_has_one_receiver
                an_answer_that_was_lost_is_given_again
                mailboxes_are_limited
                mailboxes_opened_at_once_are_limited_too
                a_mailbox_that_was_left_is_over_and_its_nameplate_free
                a_mailbox_that_nobody_claims_lasts_while_its_sender_holds_it
                a_claimed_mailbox_lasts_while_both_sides_hold_it
                who_has_no_key_of_a_mailbox_changes_nothing
            }
            presence {
                a_server_alone_hears_of_no_other
                the_chats_of_a_user_are_known_by_their_ids
            }
            events {
                a_feed_tells_everything_in_order
                a_feed_is_dense_however_many_post
                a_feed_shows_messages_as_they_are_now
                a_feed_is_paged
                a_cursor_ahead_of_the_feed_is_gone
                pruned_events_are_gone
                pruning_spares_what_is_newer
            }
        }
    };
}

/// A test for each case.
macro_rules! each_as_test {
    ($empty:path => $($module:ident { $($case:ident)+ })+) => {$(
        mod $module {
            use super::*;
            use $crate::store::conformance::{World, $module};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $module::$case(World::new($empty).await).await;
                }
            )+
        }
    )+};
}

/// All cases one after another.
macro_rules! each_in_turn {
    ($empty:path => $($module:ident { $($case:ident)+ })+) => {
        $($(
            $crate::store::conformance::$module::$case($crate::store::conformance::World::new($empty).await).await;
        )+)+
    };
}

/// A test for each case, against the backend that the function opens.
macro_rules! tests {
    ($empty:path) => {
        $crate::store::conformance::cases!(each_as_test, $empty);
    };
}

/// Runs every case, one after another, against the backend that the function opens.
macro_rules! run_all {
    ($empty:path) => {
        $crate::store::conformance::cases!(each_in_turn, $empty)
    };
}

pub(super) use {cases, each_as_test, each_in_turn, run_all, tests};
