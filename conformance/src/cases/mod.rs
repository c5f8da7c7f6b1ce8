//! The cases, a file a subject.

pub mod budget;
pub mod cancel;
pub mod descriptors;
pub mod errors;
pub mod event;
pub mod handle;
pub mod lifecycle;
pub mod messages;
pub mod multicast;
pub mod names;
pub mod notifier;
pub mod options;
pub mod owned;
pub mod pooled;
pub mod readiness;
pub mod tcp_connect;
pub mod tcp_listener;
pub mod tcp_stream;
pub mod time;
pub mod traits;
pub mod udp;
pub mod unix_datagram;
pub mod unix_net;
pub mod unix_socket;
pub mod urgent;
