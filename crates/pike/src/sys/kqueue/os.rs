//! What each system calls the pieces of kqueue: one table, and the shape of `struct kevent` held against its header.

cfg_if::cfg_if! {
    if #[cfg(pike_kqueue_double)] {
        pub(super) use super::double::{
            EV_ADD, EV_CLEAR, EV_DELETE, EV_ENABLE, EV_EOF, EV_ERROR, EV_RECEIPT, EVFILT_READ, EVFILT_SIGNAL, EVFILT_USER,
            EVFILT_WRITE, NOTE_TRIGGER, close, kevent, kqueue,
        };
        pub(super) use super::double::Event;
        #[cfg(test)]
        pub(super) use super::double::{EV_DISABLE, EV_ONESHOT, EVFILT_TIMER};
    } else {
        pub(super) use libc::{
            EV_ADD, EV_CLEAR, EV_DELETE, EV_ENABLE, EV_EOF, EV_ERROR, EV_RECEIPT, EVFILT_READ, EVFILT_SIGNAL, EVFILT_USER,
            EVFILT_WRITE, NOTE_TRIGGER, close, kevent, kqueue,
        };
        pub(super) type Event = libc::kevent;
        #[cfg(all(test, target_os = "freebsd"))]
        pub(super) use libc::{EV_DISABLE, EV_ONESHOT, EVFILT_TIMER};
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "netbsd")] {
        pub(super) type Filter = u32;
        pub(super) type Flags = u32;
    } else {
        pub(super) type Filter = i16;
        pub(super) type Flags = u16;
    }
}

/// Its size, and where each field is: ident, filter, flags, fflags, data, udata.
const fn shape() -> (usize, [usize; 6]) {
    use std::mem::offset_of;
    let at = [
        offset_of!(Event, ident),
        offset_of!(Event, filter),
        offset_of!(Event, flags),
        offset_of!(Event, fflags),
        offset_of!(Event, data),
        offset_of!(Event, udata),
    ];
    (size_of::<Event>(), at)
}

/// By the headers of macOS 14, FreeBSD 13, DragonFly 6, OpenBSD 7 and NetBSD 9 (which keeps it for later ones).
const SHAPE: (usize, [usize; 6]) = match () {
    // Four words more than the others, since FreeBSD 12.
    _ if cfg!(any(target_os = "freebsd", pike_kqueue_double)) => (64, [0, 8, 10, 12, 16, 24]),
    _ if cfg!(target_os = "netbsd") => (40, [0, 8, 12, 16, 24, 32]),
    _ => (32, [0, 8, 10, 12, 16, 24]),
};

const _: () = {
    let ((size, at), (its_size, its)) = (SHAPE, shape());
    assert!(size == its_size);
    let mut field = 0;
    while field < at.len() {
        assert!(at[field] == its[field]);
        field += 1;
    }
};

/// The numbers of the filters, by the same headers: reading, writing, signals, and what a notification triggers, which differs
/// most. Each filter has idents of its own, so that none of a notification's, a signal's or a descriptor's collide.
const FILTERS: [i32; 4] = match () {
    _ if cfg!(any(target_os = "freebsd", pike_kqueue_double)) => [-1, -2, -6, -11],
    _ if cfg!(target_os = "netbsd") => [0, 1, 5, 8],
    _ if cfg!(target_os = "dragonfly") => [-1, -2, -6, -9],
    _ => [-1, -2, -6, -10],
};

const _: () = {
    let its = [EVFILT_READ as i32, EVFILT_WRITE as i32, EVFILT_SIGNAL as i32, EVFILT_USER as i32];
    let mut filter = 0;
    while filter < its.len() {
        assert!(FILTERS[filter] == its[filter]);
        filter += 1;
    }
};
