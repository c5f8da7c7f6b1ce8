//! The cases, a file a subject. What only Unix has stands in files that only Unix has.

pub mod allocations;
pub mod block_on;
pub mod budget;
pub mod cancel;
pub mod cancel_connections;
pub mod cancel_sends;
pub mod dropped;
pub mod errors;
pub mod event;
pub mod handle;
pub mod interval;
pub mod kept;
pub mod lifecycle;
pub mod linger;
pub mod lost_wakes;
pub mod meanwhile;
pub mod message_info;
pub mod messages;
pub mod multicast;
pub mod names;
pub mod notifier;
pub mod notifier_gone;
pub mod numbers_again;
pub mod options;
pub mod owned;
pub mod pooled;
pub mod pooled_messages;
pub mod pooled_shared;
pub mod readiness;
pub mod shutdown;
pub mod stream_ends;
pub mod tcp_connect;
pub mod tcp_forms;
pub mod tcp_listener;
pub mod tcp_random_mix;
pub mod tcp_shared;
pub mod tcp_shutdown;
pub mod tcp_stream;
pub mod time;
pub mod timeout;
pub mod traits;
pub mod udp;
pub mod udp_errors;
pub mod undelivered;
pub mod urgent;
pub mod waiters;

pub mod churn;
#[cfg(windows)]
pub mod console;
#[cfg(unix)]
pub mod descriptors;
#[cfg(unix)]
pub mod fork;
#[cfg(unix)]
pub mod interrupted;
#[cfg(unix)]
pub mod signal;
#[cfg(unix)]
pub mod signal_handler;
#[cfg(unix)]
pub mod signalfd;
#[cfg(unix)]
pub mod unix_allocations;
#[cfg(unix)]
pub mod unix_datagram;
#[cfg(unix)]
pub mod unix_errors;
#[cfg(unix)]
pub mod unix_handle;
#[cfg(unix)]
pub mod unix_net;
#[cfg(unix)]
pub mod unix_owned;
#[cfg(unix)]
pub mod unix_pooled;
#[cfg(unix)]
pub mod unix_socket;
#[cfg(windows)]
pub mod windows_port;
#[cfg(windows)]
pub mod windows_unix;
