//! The list of all cases, and what is made of it.
//!
//! A test compares it with the `pub fn` lines of `src/cases`, so that none is forgotten.

use crate::harness::Entry;

/// Calls a macro of this crate with all cases: `each! { (arguments) file { case, case: alone, ... } ... }`. A file that only
/// some systems have says so by an attribute, here and in `cases/mod.rs`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($each:ident $arguments:tt) => {
        $crate::$each! { $arguments
            notifier {
                poll_with_timeouts,
                poll_one_turn_one_batch,
                notify_interrupts_turn,
                register_during_poll: alone,
                waker_may_reenter,
                enter_sets_current,
                background_without_setup,
                backend_is_visible,
                backend_from_environment: alone,
                bound_notifier_refuses_other_threads,
                shutdown_reports_and_closes,
                spin_option_works,
            }
            block_on {
                taken_seat_is_busy,
                block_on_hands_over_seat,
                block_on_keeps_turning,
                nested_block_on_panics,
            }
            handle {
                async_io_retries_until_ready,
                try_io_clears_readiness,
                into_inner_then_new,
                descriptor_is_visible,
                ready_returns_what_is_set,
            }
            event {
                event_notify_wakes_waiter,
                event_counting,
                event_latch,
                event_many_on_one_notifier,
                event_dropped_wait_keeps_count,
                event_wakes_blocked_turn,
            }
            lifecycle {
                close_on_drop,
                cancel_wakes_all_waiters,
                close_waits_and_frees: alone,
                close_while_reading_elsewhere,
                no_event_after_drop: alone,
                wakers_drop_other_handles,
                fd_reuse_stress: alone,
                into_std_round_trip,
                nothing_leaked: alone,
            }
            dropped {
                dropped_receive_loses_nothing,
                dropped_accept_loses_nothing,
                dropped_write_sends_nothing,
                leaked_futures_are_sound,
            }
            notifier_gone {
                notifier_dropped_wakes_waiters,
                notifier_drop_races_waiters,
                notifier_dropped_before_sockets: alone,
                notifier_gone_elsewhere: alone,
            }
            shutdown {
                shutdown_ends_the_turn_of_another: alone,
                shutdown_of_a_bound_notifier_elsewhere: alone,
            }
            numbers_again {
                queued_sends_spare_the_next: alone,
                queued_datagrams_spare_the_next: alone,
                queued_requests_spare_the_next: alone,
            }
            #[cfg(unix)] // Windows has no fork
            fork {
                fork_child_spares_parent: alone,
                fork_child_new_notifier: alone,
                fork_child_operations_in_flight: alone,
                fork_child_drops_old_notifier: alone,
            }
            budget {
                flooding_socket_yields,
                budget_counts_inline_successes,
                budget_under_foreign_executor,
                idle_loops_yield,
                no_allocation_per_operation,
                turn_costs_one_wait: alone,
            }
            allocations {
                no_allocation_of_messages,
                no_allocation_of_control_data,
                no_allocation_of_traits,
                no_allocation_of_new_sockets,
                no_allocation_of_options,
            }
            readiness {
                readable_after_would_block,
                writable_until_full,
                duplex_readers_and_writers,
                stolen_readiness_waits_again,
                idle_data_makes_no_turns,
                priority_readiness,
                urgent_data_short_read,
                peek_keeps_data,
            }
            stream_ends {
                readable_on_eof,
                half_close_keeps_writing,
                own_shutdown_keeps_reading,
                reset_ends_both_directions,
                fresh_socket_hangup_ignored,
            }
            waiters {
                many_waiters_wake_all,
                consumers_wake_one,
                baton_passed_on,
            }
            lost_wakes {
                lost_wake_stress,
            }
            time {
                sleep_never_early,
                sleep_below_a_millisecond,
                sleep_zero_or_past,
                sleep_huge,
                sleep_order,
                sleep_bounds_the_wait,
                sleep_reset_and_drop,
                sleep_earlier_from_other_thread,
            }
            interval {
                interval_ticks,
                interval_missed_ticks,
            }
            timeout {
                timeout_of_a_future,
                deadline_trait,
            }
            tcp_listener {
                accept_v4,
                accept_v6,
                listener_std_forms,
                accept_many,
                listener_closed_with_pending: alone,
                accepted_peer_already_gone,
                bind_errors: alone,
                listen_on_bare_sockets,
                listener_v6only_option,
            }
            tcp_stream {
                echo_round_trips,
                writes_keep_order,
                recv_send_flags,
                read_exact_and_write_all,
                options_read_back,
            }
            tcp_forms {
                recv_with_lends_bytes,
                recv_with_reentry_and_panic,
                try_forms,
                try_write_error,
            }
            tcp_shutdown {
                shutdown_both,
                shutdown_ends_owned_receives,
                shutdown_while_connecting: alone,
                shutdown_after_write: alone,
                shutdown_twice,
                shutdown_of_a_dropped_socket,
                shutdown_behind_a_dropped_send,
                shutdown_before_the_next_write,
                linger_zero_resets,
            }
            churn {
                connections_churn_between_threads,
            }
            tcp_shared {
                split_halves,
                many_tasks_one_stream,
                futures_stay_small,
            }
            tcp_random_mix {
                random_mix_checked,
            }
            linger {
                dropped_while_lingering: alone,
                closed_while_lingering: alone,
                handle_lingers_as_before,
            }
            tcp_connect {
                connect_v4,
                connect_v6,
                connect_address_forms: alone,
                connect_refused: alone,
                connect_times_out: alone,
                connect_odd_addresses,
                connect_misuse: alone,
                drop_while_connecting: alone,
                write_right_after_connect,
                connected_stream_is_quiet,
                connect_from_bound_and_std,
            }
            traits {
                tokio_traits_relay,
                futures_traits_relay,
                futures_trait_forms,
                tokio_trait_forms,
                traits_wake_the_last,
            }
            names {
                names_are_looked_up_at_once,
                names_that_fail: alone,
                staggered_passes_a_silent_address: alone,
                staggered_goes_on_after_a_failure: alone,
            }
            udp {
                udp_unconnected_v4,
                udp_unconnected_v6,
                udp_connected_v4,
                udp_connected_v6,
                udp_datagram_sizes,
                udp_peek,
                udp_try_and_poll_forms,
                udp_many_in_a_row,
                udp_shared_by_tasks,
                udp_dual_stack,
            }
            udp_errors {
                udp_wrong_mode,
                udp_send_buffer_full,
                udp_refused_once,
                udp_refused_unread_is_quiet,
                udp_own_shutdown,
                udp_bind_errors: alone,
            }
            #[cfg(unix)] // Windows has streams only
            unix_datagram {
                unix_datagram_forms,
                unix_datagram_shared_by_tasks,
                unix_datagram_full_receiver,
                unix_datagram_room_is_noticed,
            }
            #[cfg(unix)] // no pairs on Windows
            unix_net {
                unix_listener_and_stream,
                unix_stream_forms,
                unix_stream_ends,
                unix_split_halves,
                unix_poll_traits,
                unix_connect_waits_for_room,
                unix_sockets_outlive_notifier,
                unix_short_read_at_descriptor: alone,
                unix_echo_costs_two_calls: alone,
                unix_futures_stay_small,
            }
            #[cfg(unix)] // as well
            unix_socket {
                unix_socket_types,
                unix_socket_becomes_its_type,
                unix_socket_bad_addresses: alone,
                peer_credentials,
                unix_option_of_wrong_level,
            }
            options {
                option_of_every_socket,
                option_dont_route,
                option_low_water_mark,
                option_times,
                option_ranges,
                option_of_wrong_level,
                reuse_port_tcp,
                reuse_port_udp,
                options_of_linux,
            }
            multicast {
                broadcast_is_opt_in,
                multicast_v4,
                multicast_leave_without_join,
                multicast_one_source,
                multicast_v6,
            }
            owned {
                owned_round_trips,
                owned_errors_return_the_buffer,
                owned_zero_length,
                owned_longer_than_u32,
                owned_vectored,
                owned_datagrams,
                owned_odd_buffers,
                owned_deadlines,
                owned_flags,
                owned_sends_keep_order,
                owned_allocates_nothing,
            }
            kept {
                kept_receives_of_a_stream,
                kept_receives_of_datagrams,
            }
            meanwhile {
                cancel_while_it_begins,
                buffer_that_panics_when_dropped,
                buffer_that_moves_is_told_the_truth,
                buffer_of_a_leaked_future,
                cancelled_and_kept_takes_no_wake,
            }
            pooled {
                pooled_receive,
                pooled_lease_to_many,
                pooled_after_a_short_read,
                pooled_datagrams,
                pooled_dry_waits_in_order,
                pooled_idle_holds_no_buffer,
                pooled_greedy_socket,
                pooled_lease_outlives_notifier,
                pooled_dry_ends_with_closed,
                pooled_promise_is_passed_on,
                pooled_dry_spares_other_readers,
                pooled_sizes_are_checked,
                pooled_returns_race_waiters,
                pooled_many_share_a_pool,
                pooled_residue_waits,
                pooled_residue_of_into_std,
                pooled_close_under_operations: alone,
            }
            pooled_messages {
                pooled_datagram_lengths,
                pooled_datagrams_run_dry,
                pooled_nearly_dry_is_quiet,
                pooled_datagrams_greedy,
                dropped_pooled_receive_keeps_datagrams,
                cancel_races_pooled_datagrams,
                pooled_datagrams_beside_other_readers,
                pooled_datagrams_end_with_closed,
                pooled_datagrams_refused_once,
                pooled_datagrams_own_shutdown,
            }
            pooled_shared {
                pooled_unread_takes_few,
                pooled_flood_that_nobody_reads,
                pooled_shared_idle_holds_no_buffer,
                pooled_shared_greedy_socket,
                pooled_shared_runs_dry,
                pooled_default_is_large,
            }
            undelivered {
                dropped_receive_before_connect,
                dropped_receive_keeps_bytes,
                dropped_receive_keeps_datagrams,
                dropped_accept_keeps_connections,
                dropped_accept_takes_few,
                dropped_receive_keeps_a_reset,
                receive_from_a_listener_fails,
                no_allocation_of_owned_forms,
            }
            cancel {
                cancel_returns_the_buffer,
                cancel_races_receive: alone,
                cancel_races_datagrams,
                forms_mixed_at_random,
                notifier_dropped_under_operations: alone,
                notifier_dropped_in_flight: alone,
            }
            cancel_connections {
                cancel_races_accept: alone,
                cancel_races_connect: alone,
            }
            cancel_sends {
                cancel_races_send: alone,
            }
            messages {
                message_cut_is_reported,
                message_in_pieces,
                message_cancel_safety,
                message_segments,
                message_error_queue,
                message_sent_timestamp,
            }
            message_info {
                message_packet_info,
                message_from_asked_address,
                message_tells_what_sockets_set,
                message_traffic_class_hops_time,
            }
            urgent {
                urgent_mark,
                priority_is_over,
                urgent_receive_forms,
            }
            #[cfg(unix)] // nothing passes a descriptor on Windows
            descriptors {
                descriptors_arrive,
                descriptors_are_sockets,
                descriptors_never_taken: alone,
                descriptors_without_room: alone,
                descriptors_without_numbers: alone,
                descriptors_dropped_receive: alone,
                descriptors_after_pooled_receives: alone,
                descriptors_refused: alone,
                descriptors_end_a_read: alone,
                descriptors_both_ways: alone,
                credentials_arrive,
            }
            #[cfg(windows)] // its own
            windows_unix {
                windows_unix_streams,
                windows_unix_refusals,
            }
            #[cfg(windows)] // console events
            console {
                console_ctrl_c: alone,
                console_again_and_again: alone,
                console_bad_input: alone,
            }
            #[cfg(unix)] // signals of Unix
            signal {
                signal_every_kind: alone,
                signal_sets: alone,
                signal_many_listeners: alone,
                signal_from_its_making_on: alone,
                signal_many_notifiers: alone,
                signal_again_and_again: alone,
                signal_pending_on_drop: alone,
                signal_termination_and_ctrl_c: alone,
                signal_without_notifier: alone,
                signal_real_time: alone,
                signal_bad_input: alone,
                signal_allocates_nothing: alone,
            }
            #[cfg(unix)] // as well
            signal_handler {
                signal_handler_is_polite: alone,
                signal_chains: alone,
                signal_restores_only_its_own: alone,
                signal_ignored_for_a_moment: alone,
                signal_child_flags: alone,
                signal_stress: alone,
                signal_interrupts_pike_anywhere: alone,
                signal_fork: alone,
            }
            #[cfg(unix)] // of Linux
            signalfd {
                signalfd_receives_each: alone,
                signalfd_refusals: alone,
                signalfd_shared_by_tasks: alone,
                signalfd_shared_by_threads: alone,
                signalfd_children: alone,
            }
            errors {
                double_registration_is_refused,
                own_errors_are_typed,
                panicking_waker_is_contained,
            }
            #[cfg(windows)] // a socket of Unix goes anywhere
            windows_port {
                another_port_is_refused,
                vectored_writes_are_cut,
            }
            #[cfg(unix)] // signals of Unix
            interrupted {
                event_from_signal_handler: alone,
                poll_survives_interruption: alone,
            }
            #[cfg(unix)] // pipes and terminals are descriptors on Unix only
            unix_handle {
                handle_pipe_round_trip,
                handle_fifo,
                handle_pipe_hangup,
                handle_child_stdio: alone,
                handle_foreign_descriptors,
                handle_pty,
                handle_gone_duplicate_is_quiet,
                owned_on_any_descriptor,
            }
            #[cfg(unix)] // pipes, and datagrams of Unix sockets
            unix_owned {
                owned_on_pipes,
                unix_pooled_messages,
                owned_on_terminals,
                owned_unix_messages,
                cancel_races_pipe: alone,
                cancel_races_unix_datagrams,
                handle_ends_under_operations: alone,
                queued_writes_spare_the_next_pipe: alone,
            }
            #[cfg(unix)] // limits and signals of Unix
            unix_errors {
                bad_descriptors_are_refused: alone,
                accept_out_of_descriptors: alone,
                notifier_out_of_descriptors: alone,
                broken_pipe_raises_no_signal: alone,
                connect_again_has_the_connection,
            }
            #[cfg(unix)] // no pairs on Windows
            unix_pooled {
                unix_pooled_streams,
                unix_pooled_has_every_buffer,
            }
            #[cfg(unix)] // no pairs, and no descriptors, on Windows
            unix_allocations {
                no_allocation_of_unix_messages,
                no_allocation_of_unix_traits,
                no_allocation_of_unix_sockets,
            }
        }
    };
}

/// Makes a `#[test]` of every case for one backend, in a module: `suite!(epoll, Backend::Epoll);`
#[macro_export]
macro_rules! suite {
    ($module:ident, $backend:expr) => {
        $crate::for_each_case! { __tests ($module, $backend) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($module:ident, $backend:expr) $($(#[$meta:meta])* $file:ident { $($case:ident $(: $how:ident)?,)* })*) => {
        mod $module {
            $($crate::__tests_of! { ($backend; $(#[$meta])*) $($case)* })*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests_of {
    ($context:tt $($case:ident)*) => {
        $($crate::__test! { $context $case })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    (($backend:expr; $($meta:tt)*) $case:ident) => {
        $($meta)*
        #[test]
        fn $case() {
            use $crate::__reexport::Backend;
            $crate::harness::run(stringify!($case), $backend);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __entries {
    (() $($(#[$meta:meta])* $file:ident { $($case:ident $(: $how:ident)?,)* })*) => {
        &[$(
            $(#[$meta])*
            &[$(
                $crate::harness::Entry {
                    file: stringify!($file),
                    name: stringify!($case),
                    alone: $crate::__alone!($($how)?),
                    run: $crate::cases::$file::$case,
                },
            )*],
        )*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __alone {
    () => {
        false
    };
    (alone) => {
        true
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __names {
    (() $($(#[$meta:meta])* $file:ident { $($case:ident $(: $how:ident)?,)* })*) => {
        &[$($((stringify!($file), stringify!($case)),)*)*]
    };
}

/// The cases of this system, a slice a file.
pub const CASES: &[&[Entry]] = for_each_case! { __entries () };

/// Every case of any system: its file and its name.
pub const NAMES: &[(&str, &str)] = for_each_case! { __names () };
