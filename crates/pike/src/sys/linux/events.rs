//! What an epoll set says, in the words of a source.

use crate::source;

/// IN and OUT alone, which nearly all events are, are the same in both.
#[inline]
pub(super) fn bits(events: u32) -> u64 {
    const SAME: u32 = (libc::EPOLLIN | libc::EPOLLOUT) as u32;
    const _: () = assert!(SAME as u64 == source::READABLE | source::WRITABLE);
    if events & !SAME == 0 { events.into() } else { translate(events) }
}

/// An error makes both sides ready, and so does a hang-up (I5).
#[cold]
fn translate(events: u32) -> u64 {
    [
        (libc::EPOLLIN, source::READABLE),
        (libc::EPOLLOUT, source::WRITABLE),
        (libc::EPOLLPRI, source::PRIORITY | source::URGENT_SEEN),
        (libc::EPOLLRDHUP, source::READABLE | source::READ_CLOSED),
        (libc::EPOLLHUP, source::READABLE | source::WRITABLE | source::READ_CLOSED | source::WRITE_CLOSED),
        (libc::EPOLLERR, source::READABLE | source::WRITABLE | source::ERROR | source::ERROR_QUEUE),
    ]
    .into_iter()
    .filter(|(event, _)| events & *event as u32 != 0)
    .fold(0, |bits, (_, means)| bits | means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_mean_what_a_source_makes_of_them() {
        use source::*;
        for (events, means) in [
            (libc::EPOLLIN, READABLE),
            (libc::EPOLLOUT, WRITABLE),
            (libc::EPOLLIN | libc::EPOLLOUT, READABLE | WRITABLE),
            (libc::EPOLLIN | libc::EPOLLPRI, READABLE | PRIORITY | URGENT_SEEN),
            (libc::EPOLLIN | libc::EPOLLRDHUP, READABLE | READ_CLOSED),
            (libc::EPOLLOUT | libc::EPOLLHUP, READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED),
            (libc::EPOLLERR, READABLE | WRITABLE | ERROR | ERROR_QUEUE),
        ] {
            assert_eq!(bits(events as u32), means, "{events:#x}");
        }
    }
}
