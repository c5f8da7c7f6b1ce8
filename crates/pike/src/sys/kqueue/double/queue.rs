//! One queue: its knotes, and how what Linux says becomes their events.

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use libc::{EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP, c_int, epoll_event};

use super::{
    Blocked, Code, EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_ONESHOT, EV_RECEIPT, EVFILT_READ,
    EVFILT_SIGNAL, EVFILT_TIMER, EVFILT_USER, EVFILT_WRITE, Event, NOTE_MSECONDS, NOTE_NSECONDS,
    NOTE_SECONDS, NOTE_TRIGGER, NOTE_USECONDS, checked,
    descriptor::{File, Found, Kind, is_broken, judge},
    memory::Outside,
    signals,
};

pub(super) struct Queue {
    /// Given up by a child of a fork, so not owned by its type.
    set: c_int,
    writes: c_int,
    wake: c_int,
    knotes: Mutex<Knotes>,
}

struct Knotes {
    /// By the descriptor's number, then reading and writing.
    files: Outside<[Option<OfFile>; 2]>,
    /// Of triggers, timers and signals.
    others: Vec<Other>,
    room: Box<[epoll_event]>,
    /// Whose turn it is to be collected first, when there is room for few.
    writes_first: bool,
}

// SAFETY: what look like pointers in knotes are words of the caller's, which nobody follows here.
unsafe impl Send for Knotes {}

struct OfFile {
    event: Event,
    file: File,
    is_disabled: bool,
    /// The end of file was told, with this error. It is told once.
    told: Option<u32>,
    /// What had been written when this was last found writable.
    written: Option<u64>,
    /// A vnode's event, which no set will tell.
    is_due: bool,
}

struct Other {
    event: Event,
    is_disabled: bool,
    /// Triggered, and not collected yet.
    is_active: bool,
    timer: Option<OwnedFd>,
    /// How many signals had come when it was last collected.
    seen: u64,
}

/// What an entry of the set is: in the upper half of its word, over a descriptor's number or the place of a timer.
const FILE: u64 = 0;
const OTHER: u64 = 1 << 32;

impl Queue {
    pub(super) fn new() -> Result<Self, Code> {
        // Not close-on-exec, as it is on FreeBSD until somebody says so.
        // SAFETY: takes no pointer.
        let set = checked(unsafe { libc::epoll_create1(0) })?;
        let mut queue = Self { set, writes: -1, wake: -1, knotes: Mutex::new(Knotes::new()) };
        // SAFETY: takes no pointer.
        queue.writes = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: takes no pointer.
        queue.wake = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        for inner in [queue.writes, queue.wake] {
            control(set, libc::EPOLL_CTL_ADD, inner, EPOLLIN, OTHER)?;
        }
        Ok(queue)
    }

    pub(super) fn number(&self) -> c_int {
        self.set
    }

    /// In a child of a fork: frees the numbers, and touches nothing else.
    pub(super) fn abandon(&self) {
        signals::unwatch(self.wake);
        for fd in [self.set, self.writes, self.wake] {
            // SAFETY: the child's copy of ours.
            unsafe { libc::close(fd) };
        }
    }

    fn knotes(&self) -> std::sync::MutexGuard<'_, Knotes> {
        self.knotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One change: its error's number, or zero.
    pub(super) fn change(&self, change: &Event) -> Code {
        let result = match change.filter {
            EVFILT_READ | EVFILT_WRITE => self.change_file(change),
            EVFILT_USER | EVFILT_TIMER | EVFILT_SIGNAL => self.change_other(change),
            _ => Err(libc::EINVAL),
        };
        result.err().unwrap_or(0)
    }

    fn change_file(&self, change: &Event) -> Result<(), Code> {
        let fd = c_int::try_from(change.ident).map_err(|_| libc::EBADF)?;
        let file = File::of(fd);
        let mut knotes = self.knotes();
        if file.is_err() && fd as usize >= knotes.files.len() {
            return file.map(drop); // it has no place, and gets none
        }
        let place = knotes.place(fd, change.filter);
        // A close takes the knote with it.
        if place.as_ref().is_some_and(|knote| file != Ok(knote.file)) {
            *place = None;
        }
        let file = file?;
        let (set, ready) = match change.filter {
            EVFILT_READ => (self.set, EPOLLIN | EPOLLRDHUP),
            _ => (self.writes, EPOLLOUT),
        };
        match place {
            None if change.flags & EV_ADD == 0 => return Err(libc::ENOENT),
            None => {
                match (file.kind, change.filter) {
                    (Kind::Queue, EVFILT_WRITE) => return Err(libc::EINVAL),
                    (Kind::Pipe, EVFILT_WRITE) if is_broken(fd) => return Err(libc::EPIPE),
                    _ => {}
                }
                let event = Event { flags: change.flags & (EV_CLEAR | EV_ONESHOT | EV_RECEIPT), ..*change };
                let is_disabled = change.flags & EV_DISABLE != 0;
                let knote = OfFile { event, file, is_disabled, told: None, written: None, is_due: false };
                let knote = place.insert(knote);
                match control(set, libc::EPOLL_CTL_ADD, fd, knote.asked(ready), FILE | fd as u64) {
                    // Of a number that was closed while a duplicate lived, and is the same file's again.
                    Err(libc::EEXIST) => {
                        control(set, libc::EPOLL_CTL_MOD, fd, knote.asked(ready), fd as u64)?
                    }
                    Err(libc::EPERM) if file.kind == Kind::Vnode => knote.is_due = true,
                    Err(code) => {
                        *place = None;
                        return Err(if code == libc::EPERM { libc::ENODEV } else { code });
                    }
                    Ok(()) => {}
                }
            }
            Some(_) if change.flags & EV_DELETE != 0 => {
                *place = None;
                if file.kind != Kind::Vnode {
                    control(set, libc::EPOLL_CTL_DEL, fd, 0, 0)?;
                }
            }
            Some(knote) => {
                (knote.event.udata, knote.event.fflags) = (change.udata, change.fflags);
                if change.flags & EV_DISABLE != 0 {
                    knote.is_disabled = true;
                    return Ok(());
                }
                knote.is_disabled &= change.flags & EV_ENABLE == 0;
                // It is looked at again, and fires if it is ready.
                (knote.told, knote.written) = (None, None);
                if file.kind == Kind::Vnode {
                    knote.is_due = true;
                } else {
                    control(set, libc::EPOLL_CTL_MOD, fd, knote.asked(ready), FILE | fd as u64)?;
                }
            }
        }
        if file.kind == Kind::Vnode {
            self.raise();
        }
        Ok(())
    }

    fn change_other(&self, change: &Event) -> Result<(), Code> {
        let mut knotes = self.knotes();
        let is_its = |other: &Other| (other.event.ident, other.event.filter) == (change.ident, change.filter);
        let found = knotes.others.iter().position(is_its);
        match found {
            None if change.flags & EV_ADD == 0 => return Err(libc::ENOENT),
            None => {
                let mut other = Other::new(change);
                match change.filter {
                    EVFILT_TIMER => {
                        let timer = timer(change)?;
                        control(self.set, libc::EPOLL_CTL_ADD, timer.as_raw_fd(), EPOLLIN, OTHER)?;
                        other.timer = Some(timer);
                    }
                    EVFILT_SIGNAL => other.seen = signals::watch(change.ident, self.wake)?,
                    _ => {}
                }
                knotes.others.push(other);
            }
            Some(at) if change.flags & EV_DELETE != 0 => {
                drop(knotes.others.swap_remove(at));
                if change.filter == EVFILT_SIGNAL {
                    signals::forget(change.ident);
                    if !knotes.others.iter().any(|other| other.event.filter == EVFILT_SIGNAL) {
                        signals::unwatch(self.wake);
                    }
                }
            }
            Some(at) => {
                let other = &mut knotes.others[at];
                other.event.udata = change.udata;
                other.is_disabled |= change.flags & EV_DISABLE != 0;
                other.is_disabled &= change.flags & EV_ENABLE == 0;
                // In the change that adds it a trigger does nothing.
                other.is_active |= change.filter == EVFILT_USER && change.fflags & NOTE_TRIGGER != 0;
                if !other.is_disabled {
                    self.raise();
                }
            }
        }
        Ok(())
    }

    /// Waits until there is an event or the time is up; never less.
    pub(super) fn wait(
        &self,
        events: &mut [MaybeUninit<Event>],
        end: Option<Instant>,
        blocked: &Blocked,
    ) -> Result<usize, Code> {
        loop {
            let count = self.knotes().collect(self, events);
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if count > 0 || left == Some(Duration::ZERO) {
                return Ok(count);
            }
            let mut asked = libc::pollfd { fd: self.set, events: libc::POLLIN, revents: 0 };
            let left = left.map(|left| libc::timespec {
                tv_sec: left.as_secs() as _,
                tv_nsec: left.subsec_nanos() as _,
            });
            let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
            // With the caller's own signals.
            // SAFETY: one entry, a time or none, and a set of signals.
            checked(unsafe { libc::ppoll(&mut asked, 1, left, &blocked.before) })?;
        }
    }

    /// Has the next look collect what no descriptor tells.
    fn raise(&self) {
        // SAFETY: eight readable bytes.
        unsafe { libc::write(self.wake, (&raw const ONE).cast(), 8) };
    }
}

static ONE: u64 = 1;

impl Drop for Queue {
    fn drop(&mut self) {
        for other in &self.knotes().others {
            if other.event.filter == EVFILT_SIGNAL {
                signals::forget(other.event.ident);
            }
        }
        self.abandon();
    }
}

impl OfFile {
    fn asked(&self, ready: c_int) -> c_int {
        if self.event.flags & EV_CLEAR != 0 { ready | EPOLLET } else { ready }
    }
}

impl Other {
    fn new(change: &Event) -> Self {
        // Timers and signals clear themselves.
        let clear = if change.filter == EVFILT_USER { 0 } else { EV_CLEAR };
        let flags = change.flags & (EV_CLEAR | EV_ONESHOT | EV_RECEIPT) | clear;
        let event = Event { flags, fflags: change.fflags & !NOTE_TRIGGER, ..*change };
        Self { event, is_disabled: change.flags & EV_DISABLE != 0, is_active: false, timer: None, seen: 0 }
    }

    /// The event to tell, if there is one; the count goes into `data`.
    fn take(&mut self) -> Option<Event> {
        if self.is_disabled {
            return None;
        }
        let count = match self.event.filter {
            EVFILT_TIMER => expirations(self.timer.as_ref()),
            EVFILT_SIGNAL => {
                let now = signals::count(self.event.ident);
                now - std::mem::replace(&mut self.seen, now)
            }
            _ if self.is_active => {
                self.is_active = self.event.flags & EV_CLEAR == 0;
                return Some(Event { data: 0, ..self.event });
            }
            _ => 0,
        };
        (count > 0).then_some(Event { data: count as i64, ..self.event })
    }
}

impl Knotes {
    fn new() -> Self {
        let room = vec![epoll_event { events: 0, u64: 0 }; 1024].into();
        Self { files: Outside::new(), others: Vec::new(), room, writes_first: false }
    }

    fn place(&mut self, fd: c_int, filter: i16) -> &mut Option<OfFile> {
        let index = fd as usize;
        self.files.grow(index + 1, Default::default);
        &mut self.files[index][usize::from(filter == EVFILT_WRITE)]
    }

    /// Takes what there is, as much as there is room for.
    fn collect(&mut self, queue: &Queue, events: &mut [MaybeUninit<Event>]) -> usize {
        let mut count = self.collect_others(queue, events);
        self.writes_first = !self.writes_first;
        let sets = [(queue.set, EVFILT_READ), (queue.writes, EVFILT_WRITE)];
        for (set, filter) in if self.writes_first { [sets[1], sets[0]] } else { sets } {
            count += self.collect_files(set, filter, &mut events[count..]);
        }
        count
    }

    fn collect_others(&mut self, queue: &Queue, events: &mut [MaybeUninit<Event>]) -> usize {
        let mut raised = 0_u64;
        // SAFETY: room for eight bytes. Lowered first: what comes from here on raises it again.
        unsafe { libc::read(queue.wake, (&raw mut raised).cast(), 8) };
        let mut count = 0;
        let mut at = 0;
        while at < self.others.len() && count < events.len() {
            let event = self.others[at].take();
            if let Some(event) = event {
                events[count].write(event);
                count += 1;
                if event.flags & EV_ONESHOT != 0 {
                    drop(self.others.swap_remove(at));
                    continue;
                }
            }
            at += 1;
        }
        if raised > 0 {
            for (number, pair) in self.files.iter_mut().enumerate() {
                for knote in pair.iter_mut().flatten() {
                    if count < events.len() && std::mem::take(&mut knote.is_due) && !knote.is_disabled {
                        events[count].write(Event { ident: number, data: 1, ..knote.event });
                        count += 1;
                    }
                }
            }
        }
        if count == events.len() || self.others.iter().any(|other| other.is_active && !other.is_disabled) {
            queue.raise();
        }
        count
    }

    fn collect_files(&mut self, set: c_int, filter: i16, events: &mut [MaybeUninit<Event>]) -> usize {
        let max = events.len().min(self.room.len());
        if max == 0 {
            return 0;
        }
        // SAFETY: writes at most that many entries.
        let found = unsafe { libc::epoll_wait(set, self.room.as_mut_ptr(), max as c_int, 0) };
        let mut count = 0;
        for at in 0..usize::try_from(found).unwrap_or(0) {
            let epoll_event { events: said, u64: word } = self.room[at];
            if word & OTHER != 0 {
                continue; // ours, and looked at already
            }
            let (fd, index) = (word as c_int, usize::from(filter == EVFILT_WRITE));
            let Some(place) = self.files.get_mut(fd as usize).map(|pair| &mut pair[index]) else { continue };
            if place.as_ref().is_some_and(|knote| File::of(fd) != Ok(knote.file)) {
                *place = None; // closed meanwhile
            }
            let Some(knote) = place else { continue };
            if let Some(event) = knote.take(fd, said) {
                events[count].write(event);
                count += 1;
                if event.flags & EV_ONESHOT != 0 {
                    *place = None;
                    let _ = control(set, libc::EPOLL_CTL_DEL, fd, 0, 0);
                }
            }
        }
        count
    }
}

impl OfFile {
    fn take(&mut self, fd: c_int, said: u32) -> Option<Event> {
        if self.is_disabled {
            return None;
        }
        let found = judge(fd, self.file.kind, self.event.filter, said)?;
        let clears = self.event.flags & EV_CLEAR != 0;
        if found.flags != 0 {
            // Once; whatever else wakes the socket up after it.
            if clears && self.told == Some(found.fflags) {
                return None;
            }
            self.told = Some(found.fflags);
            self.written = None;
            return Some(self.event_of(&found));
        }
        self.told = None; // a FIFO may get another writer
        if clears && found.written.is_some() && found.written == self.written {
            // It could be written then, and nothing was since: so it was something else that woke the socket up, such
            // as the peer's FIN, which says nothing to this filter.
            return None;
        }
        self.written = found.written;
        Some(self.event_of(&found))
    }

    fn event_of(&self, found: &Found) -> Event {
        let flags = self.event.flags | found.flags;
        Event { flags, fflags: found.fflags, data: found.data, ..self.event }
    }
}

fn control(set: c_int, what: c_int, fd: c_int, events: c_int, word: u64) -> Result<(), Code> {
    let mut event = epoll_event { events: events as u32, u64: word };
    // SAFETY: reads the event it is given.
    checked(unsafe { libc::epoll_ctl(set, what, fd, &mut event) }).map(drop)
}

/// A running timer, as often as it was asked for.
fn timer(change: &Event) -> Result<OwnedFd, Code> {
    let amount = u64::try_from(change.data).map_err(|_| libc::EINVAL)?;
    let period = match change.fflags {
        NOTE_SECONDS => Duration::from_secs(amount),
        0 | NOTE_MSECONDS => Duration::from_millis(amount),
        NOTE_USECONDS => Duration::from_micros(amount),
        NOTE_NSECONDS => Duration::from_nanos(amount),
        _ => return Err(libc::EINVAL),
    };
    let period = period.max(Duration::from_nanos(1));
    let time = libc::timespec { tv_sec: period.as_secs() as _, tv_nsec: period.subsec_nanos() as _ };
    let repeat = match change.flags & EV_ONESHOT {
        0 => time,
        _ => libc::timespec { tv_sec: 0, tv_nsec: 0 },
    };
    let spec = libc::itimerspec { it_interval: repeat, it_value: time };
    // SAFETY: takes no pointer.
    let fd = checked(unsafe {
        libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
    })?;
    // SAFETY: just made, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: reads the time it is given.
    checked(unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &spec, ptr::null_mut()) })?;
    Ok(fd)
}

fn expirations(timer: Option<&OwnedFd>) -> u64 {
    let (Some(timer), mut count) = (timer, 0_u64) else { return 0 };
    // SAFETY: room for eight bytes.
    match unsafe { libc::read(timer.as_raw_fd(), (&raw mut count).cast(), 8) } {
        8 => count,
        _ => 0,
    }
}
