//! The io_uring backend: completions, and readiness by an epoll set.
//!
//! # Readiness
//!
//! A borrowed operation tries its system call, and waits for an edge if it would block: that of an epoll set (`linux::set`),
//! to which a source is added when somebody waits for it for the first time (it is *armed*), and which it leaves with its
//! Handle. A socket whose operations are all the ring's own is never in it.
//!
//! Why not a poll entry for each source, in the ring itself? That was built and measured. The completion of a multishot
//! poll names the wake-up rather than the state: that data arrived is told, and not that some of it is urgent, or that the
//! end is behind it. So a short read proved nothing, and each message cost a read in vain: 40 % more user instructions than
//! on epoll. Each arrival was a completion, priority conditions needed polls and checks of their own, a poll ended by
//! itself when completions overflowed or its thread exited, and one in flight kept the peer from the end of a socket
//! that was closed (I12). A set has none of that.
//!
//! # One wait for two things
//!
//! - While the kernel has no operation of ours, a wait is a wait of the set, and the ring is not touched.
//! - While it has, a wait enters the ring, and one poll entry of the set itself, the *watch*, ends that when there is
//!   something to report. It is started only where the wait may sleep, and is no edge: started while the set has reports
//!   it completes at once, so nothing that came in between is lost. It is for one completion, or each arrival would be one.
//! - The set is asked whenever the watch is not in flight (it has fired, or none could be started), and by each wait that
//!   was not to sleep. So a ring that is never idle keeps nobody waiting who waits for readiness; and a wait that finds
//!   completions, and does not sleep for that, makes no call for the set.
//! - However the watch ends (its thread has exited, all was cancelled), the next wait that may sleep starts another.
//! - A kernel that takes nothing for the moment (no memory, no room for completions) does not wait either. Then the wait is one
//!   of the set, and short: what is queued is offered again after it.
//!
//! # Who touches what
//!
//! The queues belong to the holder of the seat. Everybody else mails (`mailbox`), and a turn that sleeps is notified,
//! by a write to an eventfd in the set: safe in a signal handler. All that was mailed goes to the kernel with the very
//! call that waits: one system call a turn. The set is any thread's.
//!
//! Sources: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2), epoll(7).

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use io_uring::{cqueue, opcode, squeue, types};

use super::{
    Raw, Tell,
    linux::{Events, Set},
};
use crate::{buf::Pool, op::block::Block, source::UNARMED, token::Token};

mod at_once;
mod attached;
mod cancel;
mod key;
mod keys;
mod mailbox;
mod ops;
mod probe;
mod provided;
mod ring;
mod shutdown;
mod take_back;

pub(crate) use self::probe::{Failure, probe};
pub(super) use self::ring::Use;
use self::{
    attached::Attached,
    key::Kind,
    mailbox::{Mail, Mailbox},
    ops::At,
    provided::Provided,
    ring::{Entered, Ring},
    take_back::TakeBack,
};

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The ring's number, for the one call that any thread may make. The layer above drops both halves together.
    ring: Raw,
    set: Set,
    mailbox: Mailbox,
    pool: Arc<Pool>,
    attached: Attached,
    /// It was shut down: nothing is begun any more, and nothing is queued.
    ended: AtomicBool,
}

/// The half that only the holder of the seat uses.
#[derive(Debug)]
pub(crate) struct Wait {
    ring: Ring,
    events: Events,
    /// What was taken out of the mailbox last: empty but for the moment of a wait.
    mail: Vec<Mail>,
    /// What found no room in the submission queue. It goes first.
    later: VecDeque<Mail>,
    /// Whether the poll of the set is in flight.
    watches: bool,
    /// Requests whose last completion was not reaped, the watch among them.
    in_flight: usize,
    /// Those of them that name memory of ours: operations.
    operations: usize,
    /// The pool's buffers, once an operation takes them.
    provided: Option<Provided>,
    take_back: TakeBack,
    /// Blocks that never reached the kernel, and why: reported by this wait.
    refused: Vec<(At, i32)>,
}

/// How long a wait is in which the kernel could not be given what is queued.
const RETRY: Duration = Duration::from_millis(5);

impl Driver {
    pub(crate) fn new(used: Use, pool: &Arc<Pool>) -> io::Result<(Self, Wait)> {
        let ring = Ring::new(used)?;
        let (set, events) = Set::new()?;
        let driver = Self {
            ring: ring.raw(),
            set,
            mailbox: Mailbox::new(),
            pool: Arc::clone(pool),
            attached: Attached::default(),
            ended: AtomicBool::new(false),
        };
        let wait = Wait {
            ring,
            events,
            mail: Vec::new(),
            later: VecDeque::new(),
            watches: false,
            in_flight: 0,
            operations: 0,
            provided: None,
            take_back: TakeBack::default(),
            refused: Vec::new(),
        };
        Ok((driver, wait))
    }

    /// What the word of each source has from the start.
    pub(crate) const SOURCE_BITS: u64 = UNARMED;

    pub(crate) fn attach(&self, descriptor: Raw) -> io::Result<()> {
        self.attached.add(descriptor)
    }

    /// Whether a descriptor of unknown kind is one that can be waited for.
    pub(crate) fn admits(&self, descriptor: Raw) -> io::Result<()> {
        attached::can_be_waited_for(descriptor)
    }

    /// For both directions and priority. What holds at this moment is reported, like all that comes after.
    pub(crate) fn arm(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        self.set.add(descriptor, token)
    }

    /// `armed`: whether it was asked to arm the source, and did, since the source was opened.
    pub(crate) fn detach(&self, descriptor: Raw, armed: bool) -> io::Result<()> {
        self.attached.remove(descriptor);
        if armed { self.set.remove(descriptor) } else { Ok(()) }
    }

    /// Mailed; the caller notifies a turn that sleeps. False if the ring has ended, and nothing follows.
    #[inline]
    pub(crate) fn submit(&self, block: &Block) -> bool {
        self.mailbox.put(Mail::Submit { at: At::of(block) })
    }

    /// Mailed; the caller notifies a turn that sleeps.
    pub(crate) fn cancel(&self, block: &Block) {
        self.mailbox.end(At::of(block));
    }

    /// Mailed; the caller notifies a turn that sleeps.
    pub(crate) fn take_back_buffer(&self) {
        self.mailbox.put(Mail::TakeBack);
    }

    /// Async-signal-safe.
    pub(crate) fn notify(&self) {
        self.set.notify();
    }

    /// As many reports as one wait takes: the kernel may have more then.
    pub(crate) const CAPACITY: usize = Set::CAPACITY;

    /// One wait: one system call, unless the mail is more than the queue holds or the set has something to report while
    /// the kernel has operations.
    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        tell: &mut impl Tell,
    ) -> io::Result<usize> {
        wait.ring.enable()?;
        self.mailbox.take(&mut wait.mail);
        match wait.needs_ring() {
            true => self.wait_in_ring(wait, timeout, tell),
            false => self.set.wait(&mut wait.events, timeout, |report| tell.ready(report)),
        }
    }

    fn wait_in_ring(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        tell: &mut impl Tell,
    ) -> io::Result<usize> {
        let asks = timeout == Some(Duration::ZERO);
        let mut may_sleep = !asks;
        let mut entered = self.enter(wait, timeout, &mut may_sleep, tell);
        let (mut count, mut took, mut dry) = (0, 0, 0);
        loop {
            if entered.is_ok() {
                if let Err(error) = wait.ring.work(Self::CAPACITY - count) {
                    entered = Err(error);
                }
            }
            let Wait { ring, watches, in_flight, operations, .. } = &mut *wait;
            count += ring.reap(Self::CAPACITY - count, |completion| {
                let last = usize::from(!cqueue::more(completion.flags()));
                *in_flight -= last;
                took += u32::from(ops::buffer(&completion).is_some());
                if let Some(done) = ops::completion(&completion) {
                    *operations -= last;
                    dry += u32::from(done.result == -libc::ENOBUFS);
                    tell.completed(done);
                    return;
                }
                match key::kind(completion.user_data()) {
                    Kind::Watch => *watches = false,
                    Kind::TakeBack => self.gave_back(ops::buffer(&completion), tell),
                    Kind::Cancel | Kind::Block => {}
                }
            });
            // What came meanwhile is one batch with the rest.
            if count == Self::CAPACITY || !ring.has_completions() {
                break;
            }
        }
        if let Some(provided) = &mut wait.provided {
            provided.took(took);
            if dry > 0 {
                provided.ran_dry(dry);
            }
        }
        let pause = match entered {
            Ok(Entered::Done) if !asks && wait.watches => return Ok(count), // and the set has nothing to report
            Ok(Entered::Later) if may_sleep && count == 0 => {
                timeout.map_or(RETRY, |timeout| timeout.min(RETRY))
            }
            Ok(_) => Duration::ZERO,
            Err(error) => {
                // The completion of the watch may be among those that were lost, so another is started; if it was not, the set
                // is looked at once in vain. And a buffer that was taken back may be among them.
                if ring::is_loss(&error) {
                    wait.watches = false;
                    self.ask_again();
                }
                return Err(error);
            }
        };
        let reports = self.set.wait(&mut wait.events, Some(pause), |report| tell.ready(report))?;
        // Whichever was full has more.
        let full = count.max(reports) == Self::CAPACITY;
        Ok(if full { Self::CAPACITY } else { (count + reports).min(Self::CAPACITY - 1) })
    }

    /// Gives the kernel what was mailed, and waits if nothing is to be told: then `may_sleep` is as it was.
    #[inline]
    fn enter(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        may_sleep: &mut bool,
        tell: &mut impl Tell,
    ) -> io::Result<Entered> {
        if !wait.mail.is_empty() || !wait.later.is_empty() {
            self.prepare(wait)?;
        }
        if !wait.refused.is_empty() {
            wait.tell_refused(tell);
            *may_sleep = false;
        }
        let sleeps =
            *may_sleep && wait.later.is_empty() && wait.watch(&self.set)? && !wait.ring.has_completions();
        if let Some(provided) = &mut wait.provided {
            provided.fill()?;
        }
        wait.ring.enter(if sleeps { timeout } else { Some(Duration::ZERO) })
    }

    /// Puts what was mailed into the submission queue, in order.
    fn prepare(&self, wait: &mut Wait) -> io::Result<()> {
        let mut mail = mem::take(&mut wait.mail);
        // Nearly always all of it fits, and nothing is late.
        let mut done = 0;
        let mut prepared = if wait.later.is_empty() { Ok(true) } else { self.prepare_late(wait) };
        if let Ok(true) = prepared {
            loop {
                done += wait.submit_sends(&mail[done..]);
                let Some(next) = mail.get(done) else { break };
                prepared = wait.submit(*next, &self.pool);
                if !matches!(prepared, Ok(true)) {
                    break;
                }
                done += 1;
            }
        }
        if done < mail.len() {
            wait.later.extend(mail.drain(done..)); // behind what did not fit, or failed, before it
        }
        mail.clear();
        wait.mail = mail;
        prepared.map(drop)
    }

    /// Puts what did not fit before into the submission queue. False if not all of it.
    #[cold]
    fn prepare_late(&self, wait: &mut Wait) -> io::Result<bool> {
        while let Some(mail) = wait.later.front().copied() {
            if !wait.submit(mail, &self.pool)? {
                return Ok(false);
            }
            wait.later.pop_front();
        }
        Ok(true)
    }
}

impl Wait {
    /// Whether there is anything in the ring, or for it, but the watch.
    #[inline]
    fn needs_ring(&self) -> bool {
        self.in_flight > usize::from(self.watches)
            || !self.mail.is_empty()
            || !self.later.is_empty()
            || !self.refused.is_empty()
    }

    #[cold]
    fn tell_refused(&mut self, tell: &mut impl Tell) {
        self.refused.drain(..).for_each(|(at, code)| tell.completed(at.failed(code)));
    }

    /// Makes sure that what the set has to report ends a wait in the ring. False if there is no room for that now.
    fn watch(&mut self, set: &Set) -> io::Result<bool> {
        if !self.watches {
            // It refers to no memory.
            let entry = opcode::PollAdd::new(types::Fd(set.raw()), libc::POLLIN as u32).build();
            self.watches = self.push(entry, key::of_driver(Kind::Watch))?;
        }
        Ok(self.watches)
    }

    /// Starts the sends that come first, which nearly all is: each entry is built in its place. Says how many; behind them is
    /// something else, or no room.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn submit_sends(&mut self, mail: &[Mail]) -> usize {
        let mut queue = self.ring.queue();
        let is_pushed = |mail: &&Mail| {
            let Mail::Submit { at } = **mail else { return false };
            // SAFETY: it was mailed, and is reported as final by a later completion.
            let Some(entry) = (unsafe { at.send() }) else { return false };
            // SAFETY: what a block names stays until its final completion.
            unsafe { queue.push(&entry, at.key()) }
        };
        let pushed = mail.iter().take_while(is_pushed).count();
        self.in_flight += pushed;
        self.operations += pushed;
        pushed
    }

    /// False if the queue is full and stays so: the kernel takes nothing before completions were reaped.
    #[inline(never)]
    fn submit(&mut self, mail: Mail, pool: &Arc<Pool>) -> io::Result<bool> {
        match mail {
            Mail::Submit { at } => self.start(at, pool),
            Mail::End { at } => {
                self.push(opcode::AsyncCancel::new(at.key()).build(), key::of_driver(Kind::Cancel))
            }
            Mail::TakeBack => self.take_back(pool),
            Mail::Refuse { at } => {
                self.refused.push((at, libc::ECANCELED));
                Ok(true)
            }
        }
    }

    #[allow(unsafe_code)]
    fn start(&mut self, at: At, pool: &Arc<Pool>) -> io::Result<bool> {
        // SAFETY: it was mailed, and is reported as final by a later completion, or here.
        if self.provided.is_none() && unsafe { at.takes_buffers() } && !self.provide(at, pool) {
            return Ok(true);
        }
        // SAFETY: as above.
        let pushed = self.push(unsafe { at.entry() }, at.key())?;
        self.operations += usize::from(pushed);
        Ok(pushed)
    }

    /// Shares the pool's buffers with the kernel. False if that cannot be: then who needs them is refused.
    #[cold]
    fn provide(&mut self, at: At, pool: &Arc<Pool>) -> bool {
        match self.take_back.prepare().and_then(|()| Provided::new(&self.ring, pool)) {
            Ok(provided) => self.provided = Some(provided),
            Err(error) => self.refused.push((at, error.raw_os_error().unwrap_or(libc::ENOMEM))),
        }
        self.provided.is_some()
    }

    /// For entries that refer to no memory, or to a block's. A full queue is submitted first.
    #[allow(unsafe_code)]
    #[inline]
    fn push(&mut self, entry: squeue::Entry, key: u64) -> io::Result<bool> {
        let entry = entry.user_data(key);
        // SAFETY: the watch and cancellations refer to no memory of ours; of a block, it stays until its final completion.
        let pushed = unsafe { self.ring.push(&entry, key) } || self.push_behind(&entry, key)?;
        self.in_flight += usize::from(pushed);
        Ok(pushed)
    }

    /// Behind all that the full queue holds.
    #[allow(unsafe_code)]
    #[cold]
    fn push_behind(&mut self, entry: &squeue::Entry, key: u64) -> io::Result<bool> {
        self.ring.enter(Some(Duration::ZERO))?;
        // SAFETY: as in `push`.
        Ok(unsafe { self.ring.push(entry, key) })
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

#[cfg(all(test, not(loom)))]
mod tests;
