//! What an idle socket costs in live heap bytes: a counting allocator, 1,000 and 9,000 sockets, the difference by 8,000.
//!
//! `cases::budget::no_allocation_per_operation` counts allocations.

use std::net::UdpSocket;

use pike::{Backend, Notifier, net};
use pike_conformance::{
    Skip,
    harness::{alone, note_skip},
    heap, system,
};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

// Wine takes a millisecond for a socket.
const FEW: usize = if cfg!(windows) { 200 } else { 1000 };
const MANY: usize = if cfg!(windows) { 1200 } else { 9000 };
/// The budget of the design: bytes a registered socket.
const LIMIT: f64 = if cfg!(windows) { 256.0 } else { 128.0 };

/// Registers `MANY` sockets with a Notifier of each backend, and counts what the last 8,000 take. What the caller keeps (the
/// vector of sockets) has its room before the count begins and is no part of it. Each is registered, has waited once, and
/// has been in a turn.
#[test]
fn bytes_a_registered_socket() {
    alone(|| {
        let room = system::raise_descriptor_limit();
        if room < MANY + 200 {
            let reason =
                format!("{MANY} sockets need more than the {room} descriptors that this process may have");
            return note_skip("bytes_a_registered_socket".into(), Skip::because(reason));
        }
        for &backend in Backend::BUILT {
            let notifier = Notifier::builder().backend(backend).build().unwrap();
            let mut sockets = Vec::with_capacity(MANY);
            let add = |sockets: &mut Vec<net::UdpSocket>, until| {
                let _here = notifier.enter();
                while sockets.len() < until {
                    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                    let socket = net::UdpSocket::from_std(socket).expect("a registered socket");
                    assert!(
                        futures_lite::future::block_on(futures_lite::future::poll_once(
                            socket.recv(&mut [0; 8])
                        ))
                        .is_none()
                    );
                    sockets.push(socket);
                    if sockets.len() % 500 == 0 {
                        notifier.poll(Some(std::time::Duration::ZERO)).unwrap();
                    }
                }
            };
            add(&mut sockets, FEW);
            let before = heap::here().expect("it counts").live;
            add(&mut sockets, MANY);
            let each = (heap::here().expect("it counts").live - before) as f64 / (MANY - FEW) as f64;
            println!("{backend}: {each:.1} bytes of heap a registered socket");
            assert!(
                each <= LIMIT,
                "{backend}: {each:.1} bytes of heap a registered socket, where {LIMIT} are allowed"
            );
            assert!(each > 1.0, "{backend}: {each:.1} bytes a socket: nothing was counted");
        }
    });
}
