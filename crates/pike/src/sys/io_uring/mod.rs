//! The io_uring backend: completions, and readiness made of multishot polls.
//!
//! # Readiness
//!
//! A borrowed operation tries its system call, and waits for readiness if it would block. Its source is then *armed*: one
//! multishot poll for both directions, started when somebody waits for the first time and kept as long as the Handle.
//! It is edge-like, as epoll's registration is: each arrival is a completion. It refers to no memory of ours (I1).
//!
//! - A poll ends by itself when the completion queue overflows, and after the exit of the thread that happened to submit it,
//!   at the next arrival. It is reported as ready, with the bit that says unarmed, so that waiters look and arm again.
//! - A poll that could not be started leaves its error for who arms next: waiters try once, then get it.
//! - Completions name the wake-up rather than the state. That data arrived is told; that some of it is urgent is not.
//!   So on a ring a short read proves nothing, and priority conditions have polls of their own (`priority`).
//!
//! # Who touches what
//!
//! The queues belong to the holder of the seat. Everybody else mails (`mailbox`), and a turn that sleeps is notified,
//! by a write to an eventfd that the ring polls: safe in a signal handler. All that was mailed goes to the kernel with
//! the very call that waits: one system call a turn. Cancelling is the one thing that any thread does at once, since
//! a poll in flight keeps the peer from seeing the end of a closed socket (I12).
//!
//! # Closing
//!
//! What was mailed and not yet submitted is taken back, so that no number is submitted that was closed. What is in
//! flight is cancelled by its key, never by its number: were it submitted late, on a number used again, it would be a
//! hint for a token that is nobody's (I4), and is cancelled by the same key.
//!
//! Sources: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use io_uring::{cqueue, opcode, squeue, types};

use super::{Completion, Detached, Raw, Report, linux};
use crate::{
    buf::Pool,
    op::block::Block,
    source::{self, READABLE, UNARMED, WRITABLE},
    sys,
    token::Token,
};

mod attached;
mod cancel;
mod key;
mod mailbox;
mod ops;
mod priority;
mod probe;
mod provided;
mod ring;
mod told;

pub(crate) use self::probe::{Failure, probe};
pub(super) use self::ring::Use;
use self::{
    attached::Attached,
    key::Kind,
    mailbox::{Mail, Mailbox},
    ops::At,
    priority::Priorities,
    provided::Provided,
    ring::Ring,
    told::Told,
};

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The ring's number, for the one call that any thread may make. The layer above drops both halves together.
    ring: Raw,
    notify: OwnedFd,
    mailbox: Mailbox,
    pool: Arc<Pool>,
    attached: Attached,
    /// Polls that could not be started, and why: until their sources are armed again or detached.
    failed: Mutex<Vec<(Token, i32)>>,
    has_failed: AtomicBool,
    has_priorities: AtomicBool,
    /// Whether all was cancelled, and nothing is to be done any more.
    ended: AtomicBool,
}

/// The half that only the holder of the seat uses.
#[derive(Debug)]
pub(crate) struct Wait {
    ring: Ring,
    /// What was taken out of the mailbox last: empty but for the moment of a wait.
    mail: Vec<Mail>,
    /// What found no room in the submission queue. It goes first.
    later: VecDeque<Mail>,
    priorities: Priorities,
    told: Told,
    /// Whether the poll of the notify descriptor is in flight.
    listens: bool,
    /// Requests whose last completion was not reaped.
    in_flight: usize,
    /// Those of them that name memory of ours: operations.
    operations: usize,
    /// The pool's buffers, once an operation takes them.
    provided: Option<Provided>,
    /// Blocks that never reached the kernel, and why: reported by this wait.
    refused: Vec<(At, i32)>,
}

impl Driver {
    pub(crate) fn new(used: Use, pool: &Arc<Pool>) -> io::Result<(Self, Wait)> {
        let ring = Ring::new(used)?;
        let driver = Self {
            ring: ring.raw(),
            notify: linux::eventfd()?,
            mailbox: Mailbox::default(),
            pool: Arc::clone(pool),
            attached: Attached::default(),
            failed: Mutex::default(),
            has_failed: AtomicBool::new(false),
            has_priorities: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        let wait = Wait {
            ring,
            mail: Vec::new(),
            later: VecDeque::new(),
            priorities: Priorities::default(),
            told: Told::default(),
            listens: false,
            in_flight: 0,
            operations: 0,
            provided: None,
            refused: Vec::new(),
        };
        Ok((driver, wait))
    }

    /// What the word of each source has from the start.
    pub(crate) const SOURCE_BITS: u64 = UNARMED | source::VAGUE;

    pub(crate) fn attach(&self, descriptor: Raw) -> io::Result<()> {
        self.attached.add(descriptor)
    }

    /// Mailed; the caller notifies a turn that sleeps.
    pub(crate) fn arm(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            if let Some(code) = self.take_failure(token) {
                return Err(io::Error::from_raw_os_error(code));
            }
        }
        self.mailbox.put(Mail::Poll { token, descriptor });
        Ok(())
    }

    /// Mailed; the caller notifies a turn that sleeps.
    pub(crate) fn arm_priority(&self, descriptor: Raw, token: Token) {
        self.has_priorities.store(true, Ordering::Relaxed);
        self.mailbox.put(Mail::Priority { token, descriptor });
    }

    /// `armed`: whether it was asked to arm the source since the source was opened.
    pub(crate) fn detach(&self, descriptor: Raw, token: Token, armed: bool) -> Detached {
        self.attached.remove(descriptor);
        self.take_failure(token);
        let has_priorities = self.has_priorities.load(Ordering::Relaxed);
        if self.ended.load(Ordering::Acquire) || (!armed && !has_priorities) {
            return Detached::Done;
        }
        let never_started = self.mailbox.take_back(token);
        let cancelled =
            !armed || never_started || cancel::cancel(self.ring, key::of_source(Kind::Poll, token)).is_ok();
        if cancelled && !has_priorities {
            return Detached::Done;
        }
        // It has ended; or somebody is about to submit it; or the ring is another thread's, or the kernel too old.
        self.mailbox.put(Mail::Cancel { token });
        Detached::Mailed
    }

    /// Mailed; the caller notifies a turn that sleeps. False if the ring has ended, and nothing follows.
    pub(crate) fn submit(&self, block: &Block) -> bool {
        self.mailbox.put(Mail::Submit { at: At::of(block) })
    }

    /// Mailed; the caller notifies a turn that sleeps.
    pub(crate) fn cancel(&self, block: &Block) {
        self.mailbox.end(At::of(block));
    }

    /// Async-signal-safe.
    pub(crate) fn notify(&self) {
        linux::write_eventfd(&self.notify);
    }

    /// As many reports as one wait takes: the kernel may have more then.
    pub(crate) const CAPACITY: usize = 1024;

    /// One wait, and at most one system call unless the mail is more than the queue holds.
    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        mut tell: impl FnMut(sys::Told),
    ) -> io::Result<usize> {
        wait.ring.enable()?;
        self.mailbox.take(&mut wait.mail);
        if !wait.mail.is_empty() || !wait.later.is_empty() || !wait.listens {
            self.prepare(wait)?;
        }
        let may_sleep =
            wait.listens && wait.later.is_empty() && wait.refused.is_empty() && !wait.ring.has_completions();
        wait.refused.drain(..).for_each(|(at, code)| tell(sys::Told::Completed(at.failed(code))));
        if let Some(provided) = &mut wait.provided {
            provided.fill()?;
        }
        wait.ring.enter(if may_sleep { timeout } else { Some(Duration::ZERO) })?;
        wait.told.begin();
        let mut count = 0;
        loop {
            let Wait { ring, priorities, told, listens, in_flight, operations, .. } = &mut *wait;
            count += ring.reap(Self::CAPACITY - count, |completion| {
                let (key, result, more) =
                    (completion.user_data(), completion.result(), cqueue::more(completion.flags()));
                if more && key::kind(key) == Kind::Poll && result >= 0 {
                    let (token, bits) = (key::token(key), linux::bits(result as u32));
                    let bits = told.news(token, bits);
                    if bits != 0 {
                        tell(sys::Told::Ready(Report { token, bits }));
                    }
                    return;
                }
                *in_flight -= usize::from(!more);
                if key::kind(key) == Kind::Block {
                    *operations -= usize::from(!more);
                    ops::completion(&completion)
                        .into_iter()
                        .for_each(|done| tell(sys::Told::Completed(done)));
                    return;
                }
                if let Some(close) = self.look_closely(&completion, priorities, listens) {
                    tell(sys::Told::Ready(close));
                }
            });
            if count == Self::CAPACITY || !ring.has_more() {
                return Ok(count);
            }
            ring.work(Self::CAPACITY - count)?;
        }
    }

    /// Any completion but one of a poll that goes on.
    #[cold]
    fn look_closely(
        &self,
        completion: &cqueue::Entry,
        priorities: &mut Priorities,
        listens: &mut bool,
    ) -> Option<Report> {
        let (key, result, more) =
            (completion.user_data(), completion.result(), cqueue::more(completion.flags()));
        let token = key::token(key);
        match key::kind(key) {
            Kind::Poll => {
                // The end of it: by an overflow, with bits; by an arrival after its thread's end; or it never began.
                let bits = u32::try_from(result).map_or(0, linux::bits);
                if result < 0 && result != -libc::ECANCELED {
                    self.note_failure(token, -result);
                }
                Some(Report { token, bits: bits | READABLE | WRITABLE | UNARMED })
            }
            Kind::Priority => {
                let bits = priorities.check(token);
                if more {
                    return (bits != 0).then_some(Report { token, bits });
                }
                priorities.remove(token);
                // Whoever waits looks again, and asks again.
                Some(Report { token, bits: bits | source::PRIORITY })
            }
            Kind::Notify => {
                *listens &= more;
                None
            }
            Kind::Cancel | Kind::Block => None,
        }
    }

    /// Puts what was mailed into the submission queue, in order, and the poll of the notify descriptor.
    #[cold]
    fn prepare(&self, wait: &mut Wait) -> io::Result<()> {
        if !wait.listens {
            // It refers to no memory. Without room it is tried again by the next wait, which cannot sleep before.
            let entry = poll(self.notify.as_raw_fd(), libc::POLLIN as u32, key::of_driver(Kind::Notify));
            wait.listens = wait.push(&entry)?;
        }
        wait.later.extend(wait.mail.drain(..));
        while let Some(mail) = wait.later.front().copied() {
            if !wait.submit(mail, &self.pool)? {
                break;
            }
            wait.later.pop_front();
        }
        Ok(())
    }

    fn note_failure(&self, token: Token, code: i32) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push((token, code));
        self.has_failed.store(true, Ordering::Release);
    }

    fn take_failure(&self, token: Token) -> Option<i32> {
        if !self.has_failed.load(Ordering::Acquire) {
            return None;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let at = failed.iter().position(|(of, _)| *of == token)?;
        Some(failed.swap_remove(at).1)
    }

    /// Cancels all, and reaps until nothing is in flight or the limit has passed. On the seat. Says how many operations are left
    /// in flight.
    pub(crate) fn shutdown(
        &self,
        wait: &mut Wait,
        limit: Duration,
        mut completed: impl FnMut(Completion),
    ) -> io::Result<usize> {
        // First, so that it fails before anything was done where another thread must do it.
        if wait.ring.is_enabled() {
            wait.ring.enter(Some(Duration::ZERO))?;
        }
        self.mailbox.close(&mut wait.mail);
        wait.later.extend(wait.mail.drain(..));
        for mail in wait.later.drain(..) {
            if let Mail::Submit { at } | Mail::Refuse { at } = mail {
                completed(at.failed(libc::ECANCELED));
            }
        }
        if !wait.ring.is_enabled() {
            self.ended.store(true, Ordering::Release);
            return Ok(0);
        }
        let end = Instant::now().checked_add(limit);
        let all = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        let cancelling = wait.push(&all.user_data(key::of_driver(Kind::Cancel)))?;
        while cancelling && wait.in_flight > 0 {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            wait.ring.enter(Some(left))?;
            wait.ring.work(Self::CAPACITY)?;
            let Wait { ring, in_flight, operations, .. } = &mut *wait;
            ring.reap(usize::MAX, |completion| {
                let last = usize::from(!cqueue::more(completion.flags()));
                *in_flight -= last;
                if key::kind(completion.user_data()) == Kind::Block {
                    *operations -= last;
                    ops::completion(&completion).into_iter().for_each(&mut completed);
                }
            });
            if left.is_zero() {
                break;
            }
        }
        self.ended.store(true, Ordering::Release);
        Ok(wait.operations)
    }
}

impl Wait {
    /// False if the queue is full and stays so: the kernel takes nothing before completions were reaped.
    fn submit(&mut self, mail: Mail, pool: &Arc<Pool>) -> io::Result<bool> {
        match mail {
            Mail::Poll { token, descriptor } => {
                self.push(&poll(descriptor, linux::INTEREST, key::of_source(Kind::Poll, token)))
            }
            Mail::Priority { token, descriptor } => {
                if !self.priorities.add(token, descriptor) {
                    return Ok(true);
                }
                let key = key::of_source(Kind::Priority, token);
                let pushed = self.push(&poll(descriptor, priority::INTEREST, key))?;
                if !pushed {
                    self.priorities.remove(token);
                }
                Ok(pushed)
            }
            Mail::Cancel { token } => Ok(self.push(&cancellation(key::of_source(Kind::Priority, token)))?
                && self.push(&cancellation(key::of_source(Kind::Poll, token)))?),
            Mail::Submit { at } => self.start(at, pool),
            Mail::End { at } => self.push(&cancellation(at.key())),
            Mail::Refuse { at } => {
                self.refused.push((at, libc::ECANCELED));
                Ok(true)
            }
        }
    }

    #[allow(unsafe_code)]
    fn start(&mut self, at: At, pool: &Arc<Pool>) -> io::Result<bool> {
        // SAFETY: it was mailed, and is reported as final by a later completion, or here.
        let (entry, takes_buffers) = unsafe { (at.entry(), at.takes_buffers()) };
        if takes_buffers && self.provided.is_none() {
            match Provided::new(&self.ring, pool) {
                Ok(provided) => self.provided = Some(provided),
                Err(error) => {
                    self.refused.push((at, error.raw_os_error().unwrap_or(libc::ENOMEM)));
                    return Ok(true);
                }
            }
        }
        let pushed = self.push(&entry)?;
        self.operations += usize::from(pushed);
        Ok(pushed)
    }

    /// For entries that refer to no memory, or to a block's. A full queue is submitted first.
    fn push(&mut self, entry: &squeue::Entry) -> io::Result<bool> {
        // SAFETY: polls and cancellations refer to no memory of ours; of a block, it stays until its final completion.
        #[allow(unsafe_code)]
        let push = |ring: &mut Ring| unsafe { ring.push(entry) };
        let mut pushed = push(&mut self.ring);
        if !pushed {
            self.ring.enter(Some(Duration::ZERO))?;
            pushed = push(&mut self.ring);
        }
        self.in_flight += usize::from(pushed);
        Ok(pushed)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // The ring is closed with what it has in flight, and that is no barrier: the kernel still writes (I3).
        if self.operations > 0 {
            if let Some(provided) = self.provided.take() {
                provided.leak();
            }
        }
    }
}

/// A poll that goes on until it is cancelled, and reports each arrival.
fn poll(descriptor: Raw, events: u32, key: u64) -> squeue::Entry {
    opcode::PollAdd::new(types::Fd(descriptor), events).multi(true).build().user_data(key)
}

fn cancellation(key: u64) -> squeue::Entry {
    opcode::AsyncCancel::new(key).build().user_data(key::of_driver(Kind::Cancel))
}
