//! What other threads want of the ring, and the seat's own thread too: whoever holds the seat does it in the next wait.
//!
//! The queues of a ring belong to the seat (contract item 7): an entry that another thread pushed while the holder is in
//! the kernel would not be seen. Nothing is lost to a full queue either: what does not fit waits here, in order.
//!
//! A wait takes the mail after it has said in the word that it is about to sleep, and who mails looks at the word
//! after the mail was put in. Both go through this lock, so one of them sees the other.

use std::mem;

use super::ops::At;
use crate::sync::Brief;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// Start an operation.
    Submit { at: At },
    /// Cancel an operation that was started.
    End { at: At },
    /// Report an operation as cancelled that was never started.
    Refuse { at: At },
    /// Take a buffer of the pool back that the kernel was lent.
    TakeBack,
}

#[derive(Debug)]
pub(super) struct Mailbox(Brief<Inside>);

#[derive(Debug, Default)]
struct Inside {
    mail: Vec<Mail>,
    /// As long as there is so much mail and no more, so many at its back are ends: they are not looked through. Who drops many
    /// sockets that another thread turns leaves one for each.
    ends: Ends,
    /// Nobody will look any more.
    closed: bool,
}

#[derive(Debug, Default)]
struct Ends {
    count: usize,
    of: usize,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self(Brief::new(Inside::default()))
    }

    /// False if nobody will look any more: nothing was put in.
    #[inline]
    pub(super) fn put(&self, mail: Mail) -> bool {
        let mut inside = self.0.lock();
        if inside.closed {
            return false;
        }
        inside.mail.push(mail);
        true
    }

    /// Takes all, and leaves the empty `into` in their place: the two change roles, and nothing is allocated.
    pub(super) fn take(&self, into: &mut Vec<Mail>) {
        debug_assert!(into.is_empty());
        let mut inside = self.0.lock();
        if !inside.mail.is_empty() {
            mem::swap(&mut inside.mail, into);
            inside.ends = Ends::default();
        }
    }

    /// The same, for the last time.
    pub(super) fn close(&self, into: &mut Vec<Mail>) {
        let mut inside = self.0.lock();
        inside.closed = true;
        into.append(&mut inside.mail);
    }

    /// Cancels an operation: it is never started, or is cancelled once it was.
    pub(super) fn end(&self, at: At) {
        let mut inside = self.0.lock();
        if !inside.refuse(at) && !inside.closed {
            let count = inside.ends_at_the_back() + 1;
            inside.mail.push(Mail::End { at });
            inside.ends = Ends { count, of: inside.mail.len() };
        }
    }

    /// Takes the start of an operation back, if nobody has begun with it: then nobody will ever hear of it.
    pub(super) fn withdraw(&self, at: At) -> bool {
        let mut inside = self.0.lock();
        let Some(place) = inside.unsent(at) else { return false };
        let count = inside.ends_at_the_back();
        inside.mail.remove(place);
        inside.ends = Ends { count, of: inside.mail.len() };
        true
    }

    /// Cancels an operation if nobody has begun to start it: then it never is.
    pub(super) fn refuse(&self, at: At) -> bool {
        self.0.lock().refuse(at)
    }
}

impl Inside {
    /// Where a start that nobody has begun with is, refused or not.
    fn unsent(&self, at: At) -> Option<usize> {
        let is_unsent = |mail: &Mail| *mail == Mail::Submit { at } || *mail == Mail::Refuse { at };
        self.mail[..self.mail.len() - self.ends_at_the_back()].iter().position(is_unsent)
    }

    fn ends_at_the_back(&self) -> usize {
        if self.mail.len() == self.ends.of { self.ends.count } else { 0 }
    }

    fn refuse(&mut self, at: At) -> bool {
        let unsent = self.unsent(at);
        if let Some(place) = unsent {
            self.mail[place] = Mail::Refuse { at };
        }
        unsent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn at(address: usize) -> At {
        At::nowhere(ptr::without_provenance_mut(address))
    }

    #[test]
    fn what_was_not_started_is_refused_and_what_may_have_been_is_ended() {
        let mailbox = Mailbox::new();
        mailbox.put(Mail::Submit { at: at(16) });
        mailbox.put(Mail::Submit { at: at(32) });
        mailbox.end(at(32));
        mailbox.end(at(48));
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        let expected = [Mail::Submit { at: at(16) }, Mail::Refuse { at: at(32) }, Mail::End { at: at(48) }];
        assert_eq!(taken, expected);
        mailbox.close(&mut taken);
        assert!(!mailbox.put(Mail::Submit { at: at(64) }));
    }

    #[test]
    fn what_was_not_begun_is_refused_as_often_as_one_asks() {
        let (mailbox, block) = (Mailbox::new(), crate::op::block::Block::new(true));
        let at = At::of(&block);
        assert!(!mailbox.refuse(at));
        mailbox.put(Mail::Submit { at });
        mailbox.end(at);
        assert!(mailbox.refuse(at) && mailbox.refuse(at));
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        assert_eq!(taken, [Mail::Refuse { at }]);
        mailbox.end(at);
        assert!(!mailbox.refuse(at), "somebody has begun with it");
    }

    #[test]
    fn what_is_withdrawn_was_never_mailed() {
        let mailbox = Mailbox::new();
        (1..4).for_each(|place| _ = mailbox.put(Mail::Submit { at: at(16 * place) }));
        mailbox.end(at(32));
        mailbox.end(at(64));
        assert!(mailbox.withdraw(at(32)) && !mailbox.withdraw(at(32)), "refused or not, and once");
        assert!(mailbox.withdraw(at(16)));
        assert_eq!(mailbox.0.lock().ends_at_the_back(), 1);
        assert!(!mailbox.withdraw(at(64)), "somebody has begun with it");
        mailbox.put(Mail::Submit { at: at(80) });
        assert!(mailbox.withdraw(at(48)) && mailbox.refuse(at(80)), "behind an end");
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        assert_eq!(taken, [Mail::End { at: at(64) }, Mail::Refuse { at: at(80) }]);
    }

    /// Goal: what is looked through is right whatever order things come in, and it is nothing where there are only ends.
    #[test]
    fn ends_at_the_back_are_not_looked_through() {
        let mailbox = Mailbox::new();
        let back = || mailbox.0.lock().ends_at_the_back();
        for _ in 0..2 {
            (1..4).for_each(|place| mailbox.end(at(16 * place)));
            assert_eq!(back(), 3);
            mailbox.put(Mail::Submit { at: at(16) });
            assert_eq!(back(), 0);
            mailbox.end(at(32));
            assert_eq!(back(), 1);
            assert!(mailbox.refuse(at(16)), "in front of it");
            mailbox.end(at(16));
            assert_eq!(back(), 1, "it was refused, and is ended no more");
            // As much mail as there was, and none of it an end.
            let mut taken = Vec::new();
            mailbox.take(&mut taken);
            assert_eq!(taken.len(), 5);
            (1..6).for_each(|place| _ = mailbox.put(Mail::Submit { at: at(16 * place) }));
            assert!(mailbox.refuse(at(80)));
            taken.clear();
            mailbox.take(&mut taken);
        }
    }

    #[test]
    fn the_two_buffers_change_roles() {
        let mailbox = Mailbox::new();
        let mut taken = Vec::with_capacity(100);
        mailbox.put(Mail::End { at: at(16) });
        mailbox.take(&mut taken);
        assert_eq!(taken.len(), 1);
        assert!(mailbox.0.lock().mail.capacity() >= 100);
        taken.clear();
        mailbox.take(&mut taken);
        assert!(taken.is_empty());
    }
}
