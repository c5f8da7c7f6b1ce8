//! The completion port of Windows: readiness made of requests that end with it.
//!
//! # Readiness
//!
//! A borrowed operation tries its call, and waits for readiness if it would block. Its side is then *armed*: one request,
//! which ends with the next event and is reported then, with the bit that says unarmed; it stays when the waiters leave (I11).
//! It is level-triggered: it ends at once if there is something, so nothing is lost between an attempt and the request. No
//! request refers to memory of the program's (I1).
//!
//! - Reading from a connected stream: a receive into no bytes (`receive`).
//! - All else, datagrams, listeners, writing, connecting, urgent data, every socket behind a layered provider, and one that may
//!   be with another port (`places`): a poll of the socket driver (`afd`), on a helper handle that many sockets share. Or what
//!   Windows 11 has for it, if it is asked for (`notifications`).
//! - A short read proves nothing, since a waiter beside the one who read would be left with no request (`VAGUE`).
//!
//! # Memory
//!
//! What the kernel writes to while a request is in flight is of a pool (`arms`), not of the Handle: so a detach cancels, and is
//! done. The packet of what was cancelled still comes, and only then is the memory used again (I2). Its report is for a
//! token that is nobody's (I4). Closing the socket ends its requests too; the cancellation comes first all the same, so that the
//! peer sees the end at once (I12).
//!
//! # Threads
//!
//! Requests are started by whoever waits, at once. The thread may exit: the system cancels only what is not with a port. One
//! lock guards the table of sources and the pool; it is held across the calls that start and cancel, so that no request is
//! cancelled before it was started, or in another's place.
//!
//! # Closing
//!
//! `shutdown` cancels all and takes the packets. What does not come in time is left: its memory is leaked, since the kernel
//! writes there even after the port was closed (I3).

use std::{
    fmt, io,
    ptr::NonNull,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use windows_sys::Win32::System::IO::OVERLAPPED_ENTRY;

use self::{
    arms::{Arm, NONE},
    notifications::Notifications,
    notify::Notify,
    ops::{Done, Finished},
    places::Name,
    port::{Head, NOTIFY, OPERATION, Port, REQUEST, Role},
    receive::Started,
    table::{Reads, Table},
    timer::Timer,
};
use super::{Completion, Raw, Report, Told};
use crate::{
    Closed,
    source::{self, Direction, READ_UNARMED, READABLE, UNARMED},
    token::Token,
};

mod afd;
mod arms;
mod notifications;
mod notify;
mod ops;
mod places;
mod port;
mod receive;
mod shutdown;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use self::ops::Space;
pub use self::places::OtherNotifier;

/// Packets taken from the kernel at once: a turn of 1,000 ready sockets is one wait. 32 KiB a Notifier.
const ENTRIES: usize = 1024;
/// The port's own timeout is late by less than this. Up to twice as much is worth a timer; of more, that is the rest.
const COARSE: Duration = Duration::from_millis(20);

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The sources, and the memory of their requests.
    table: Mutex<Table>,
    notify: Notify,
    name: Name,
    /// Operations in flight, or on their way back.
    operations: AtomicUsize,
    /// Those that are over and were not handed over.
    finished: Finished,
    /// Whether all was cancelled, and no operation is to be started any more.
    ended: AtomicBool,
    timer: Option<Timer>,
    notifications: Option<Notifications>,
    port: Port,
}

/// The half that only the holder of the seat uses.
pub(crate) struct Wait {
    entries: Box<[OVERLAPPED_ENTRY]>,
    /// Empty but for the moment of a wait.
    finished: Vec<Done>,
}

// SAFETY: the pointers in the packets are addresses of requests, which any thread may end.
#[allow(unsafe_code)]
unsafe impl Send for Wait {}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("capacity", &self.entries.len()).finish()
    }
}

impl Driver {
    pub(crate) fn new() -> io::Result<(Self, Wait)> {
        let driver = Self {
            table: Mutex::new(Table::new()),
            notify: Notify::default(),
            name: Name::new(),
            operations: AtomicUsize::new(0),
            finished: Finished::default(),
            ended: AtomicBool::new(false),
            timer: Timer::new(),
            notifications: Notifications::wanted(),
            port: Port::new()?,
        };
        let entries = vec![OVERLAPPED_ENTRY::default(); ENTRIES].into_boxed_slice();
        Ok((driver, Wait { entries, finished: Vec::new() }))
    }

    /// What the word of each source has from the start.
    pub(crate) const SOURCE_BITS: u64 = UNARMED | source::VAGUE;

    /// As many reports as one wait takes: the kernel may have more then.
    pub(crate) const CAPACITY: usize = ENTRIES;

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attach(&self, socket: Raw, token: Token) -> io::Result<()> {
        let is_stream = socket::is_stream(socket)?;
        let ends = places::attach(self.name, &self.port, socket, is_stream)?;
        self.table().add(token, socket, is_stream, ends).inspect_err(|_| places::detach(self.name, socket))
    }

    /// The socket listens now: no receive says anything of it.
    pub(crate) fn attach_again(&self, token: Token) {
        if let Some(entry) = self.table().entry(token) {
            entry.reads = Reads::ByPoll;
        }
    }

    /// Starts the request of one side. Bits if it was over at once, and no report follows.
    pub(crate) fn arm(&self, token: Token, direction: Direction) -> io::Result<u64> {
        let mut table = self.table();
        if table.ended {
            return Err(Closed::notifier());
        }
        let Some(entry) = table.entry(token) else { return Ok(0) };
        if direction == Direction::Write {
            return self.ask_or_poll(&mut table, token, Role::Write).map(|()| 0);
        }
        if entry.reads == Reads::Unknown {
            entry.reads = if socket::listens(entry.socket) { Reads::ByPoll } else { Reads::ByReceive };
        }
        let (socket, reads, skips) = (entry.socket, entry.reads, entry.skips);
        if reads == Reads::ByReceive {
            match self.receive(&mut table, token, socket)? {
                Started::Pending => return Ok(0),
                Started::Done if !skips => return Ok(0),
                Started::Done if receive::is_at_end(socket) => {
                    return Ok(afd::bits(Role::Read, afd::DISCONNECT));
                }
                Started::Done | Started::Failed => return Ok(READABLE | READ_UNARMED),
                Started::NoStream => {}
            }
        }
        self.ask_or_poll(&mut table, token, Role::Read).map(|()| 0)
    }

    fn ask_or_poll(&self, table: &mut Table, token: Token, role: Role) -> io::Result<()> {
        if self.ask(table, token, role) { Ok(()) } else { self.poll(table, token, role) }
    }

    /// Starts the request for urgent data, unless it is in flight.
    pub(crate) fn arm_priority(&self, token: Token) -> io::Result<()> {
        let mut table = self.table();
        let is_idle = table.entry(token).is_some_and(|entry| *entry.arm(Role::Priority) == NONE);
        if is_idle { self.poll(&mut table, token, Role::Priority) } else { Ok(()) }
    }

    #[allow(unsafe_code)]
    fn receive(&self, table: &mut Table, token: Token, socket: Raw) -> io::Result<Started> {
        let skips = table.entry(token).is_some_and(|entry| entry.skips);
        let (index, arm) = table.arms.take();
        let at = arm.as_ptr();
        // SAFETY: it was free.
        unsafe {
            (*at).head = Head::new(Role::Receive);
            (*at).token = token;
            (*at).handle = socket::handle(socket);
        }
        // SAFETY: an arm stays, and is put back only if no packet follows.
        let started = unsafe { receive::start(socket, &raw mut (*at).head.overlapped) };
        match &started {
            Ok(Started::Pending) => self.note(table, token, Role::Receive, index),
            Ok(Started::Done) if !skips => self.note(table, token, Role::Receive, index),
            // SAFETY: no packet follows.
            _ => _ = unsafe { table.arms.put(arm) },
        }
        started
    }

    #[allow(unsafe_code)]
    fn poll(&self, table: &mut Table, token: Token, role: Role) -> io::Result<()> {
        let (index, arm) = table.arms.take();
        let at = arm.as_ptr();
        let started = table.helper(&self.port, token).and_then(|(helper, base)| {
            // SAFETY: it was free.
            unsafe {
                (*at).head = Head::new(role);
                (*at).info = afd::Info::new(base, role);
                (*at).token = token;
                (*at).handle = helper.raw();
            }
            // SAFETY: an arm stays, and is put back only if no packet follows.
            unsafe { helper.poll(&raw mut (*at).info, &raw mut (*at).head.overlapped) }
        });
        match started {
            Ok(()) => self.note(table, token, role, index),
            // SAFETY: no packet follows.
            Err(_) => _ = unsafe { table.arms.put(arm) },
        }
        started
    }

    fn note(&self, table: &mut Table, token: Token, role: Role, index: u32) {
        if let Some(entry) = table.entry(token) {
            *entry.arm(role) = index;
        }
    }

    /// Never waits: the memory of what is cancelled is the pool's.
    #[allow(unsafe_code)]
    pub(crate) fn detach(&self, token: Token) {
        let mut table = self.table();
        if let Some(entry) = table.remove(token) {
            if !table.ended {
                for index in entry.arms() {
                    let at = table.arms.get(index).as_ptr();
                    // SAFETY: it is in flight, and its packet is taken under the lock.
                    unsafe { port::cancel((*at).handle, &raw const (*at).head.overlapped) };
                }
            }
            if let Some(notifications) = self.notifications {
                notifications.remove(&self.port, token, &entry);
            }
            drop(table);
            places::detach(self.name, entry.socket);
        }
    }

    /// From any thread, a console handler's too.
    pub(crate) fn notify(&self) {
        self.notify.notify(&self.port);
    }

    /// One wait.
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        mut tell: impl FnMut(Told),
    ) -> io::Result<usize> {
        let end = match timeout {
            None | Some(Duration::ZERO) => None,
            Some(timeout) => Instant::now().checked_add(timeout),
        };
        let over = self.hand_over(wait, &mut |completion| tell(Told::Completed(completion)));
        let mut left = if over > 0 { Some(Duration::ZERO) } else { timeout };
        loop {
            let count = self.take(wait, left)?;
            let mut news = Taken { told: over, ..Taken::default() };
            self.dispatch(&mut wait.entries[..count], &mut news, &mut tell);
            if news.told > 0 || news.notified || timeout == Some(Duration::ZERO) {
                return Ok(news.told);
            }
            // What came was nobody's, or the time was not all.
            if let Some(end) = end {
                let now = Instant::now();
                if now >= end {
                    return Ok(0);
                }
                left = Some(end - now);
            }
        }
    }

    /// Hands over what was over when it was submitted. How many.
    fn hand_over(&self, wait: &mut Wait, completed: &mut impl FnMut(Completion)) -> usize {
        self.finished.take(&mut wait.finished);
        let count = wait.finished.len();
        for done in wait.finished.drain(..) {
            self.operations.fetch_sub(1, Ordering::SeqCst);
            completed(done.completion());
        }
        count
    }

    /// Takes what the kernel has, and waits for it no longer than `timeout`; shorter if that is finer.
    fn take(&self, wait: &mut Wait, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout_ms = match (timeout, &self.timer) {
            (None, _) => u32::MAX,
            (Some(Duration::ZERO), _) => 0,
            // Its packet ends the wait.
            (Some(timeout), Some(_)) if timeout > 2 * COARSE => milliseconds(timeout - COARSE),
            (Some(timeout), Some(timer)) if timer.set(&self.port, timeout) => u32::MAX,
            (Some(timeout), _) => milliseconds(timeout),
        };
        self.port.take(&mut wait.entries, timeout_ms)
    }

    /// Reports what the packets say, and takes the memory of their requests back.
    #[allow(unsafe_code)]
    fn dispatch(&self, packets: &mut [OVERLAPPED_ENTRY], news: &mut Taken, tell: &mut impl FnMut(Told)) {
        if packets.is_empty() {
            return;
        }
        let mut operations = 0;
        let mut table = self.table();
        for packet in packets.iter_mut() {
            match packet.lpCompletionKey {
                REQUEST => {}
                NOTIFY => {
                    self.notify.taken();
                    news.notified = true;
                    continue;
                }
                key if notifications::is_key(key) => {
                    if let Some(report) = self.notified(&mut table, packet) {
                        tell(Told::Ready(report));
                        news.told += 1;
                    }
                    continue;
                }
                _ => continue, // the timer: the caller looks at the clock
            }
            let Some(head) = NonNull::new(packet.lpOverlapped.cast::<Head>()) else { continue };
            // SAFETY: every request of ours begins with one, which the kernel does not write to.
            if unsafe { head.as_ref() }.role == Role::Block {
                packet.lpCompletionKey = OPERATION;
                operations += 1;
                continue;
            }
            let arm = head.cast::<Arm>();
            // SAFETY: a request of ours, whose packet this is: it is there, and the kernel is done with it.
            let (role, token, status, events) = unsafe {
                let arm = arm.as_ref();
                (arm.head.role, arm.token, arm.head.overlapped.Internal, arm.info.events())
            };
            // SAFETY: its packet was taken.
            let index = unsafe { table.arms.put(arm) };
            let Some(entry) = table.entry(token) else { continue };
            if *entry.arm(role) == index {
                *entry.arm(role) = NONE;
            }
            let socket = entry.socket;
            // Any status but 0 says nothing of events; Wine's for a closed socket is no error by its class.
            let events = match role {
                _ if status != 0 => 0,
                Role::Receive if receive::is_at_end(socket) => afd::DISCONNECT,
                Role::Receive => 0,
                _ => events,
            };
            tell(Told::Ready(Report { token, bits: afd::bits(role, events) }));
            news.told += 1;
        }
        drop(table);
        if operations > 0 {
            // Without the table's lock: what is told of an operation may cancel another.
            for packet in packets.iter().filter(|packet| packet.lpCompletionKey == OPERATION) {
                // SAFETY: just taken.
                tell(unsafe { self.completed(packet) });
            }
            news.told += operations;
        }
    }
}

/// What a wait has brought so far.
#[derive(Debug, Default)]
struct Taken {
    told: usize,
    notified: bool,
}

/// Rounded up: a wait that is early is one too many. Almost for ever is not for ever.
fn milliseconds(timeout: Duration) -> u32 {
    timeout.as_nanos().div_ceil(1_000_000).min(u128::from(u32::MAX - 1)) as u32
}
