//! What a worker owes to the others, when it is up, before it runs code that may never end, and before it sleeps.
//!
//! All that `idle` asks of a worker is done here, and it is what the loom models run. They are workers as well: what these have
//! in common is a [`View`] of their pool.
//!
//! - *Search.* One that was claimed for a task looks for tasks. Before it runs code it gives that up, with a look for whether
//!   there is more.
//! - *Announcing.* A push that another worker could take is noted, and others are told of it before the next task of the pool
//!   is run here. Until then the sleeper that watches would find it. Where nobody can watch they are told before any code is run.
//! - *Watch.* Who comes to run code sees to it that a sleeper has an alarm set, if any sleeps. If another worker is waking this
//!   one cannot claim it, and leaves that to the other, which does it when it has given up its search.

use std::cell::Cell;

use crate::idle::Idle;

/// The pool, as one of its workers sees it.
pub(crate) trait View {
    fn idle(&self) -> &Idle;

    /// The worker's number.
    fn index(&self) -> usize;

    /// Whether it shares its tasks with others.
    fn shares(&self) -> bool;

    /// Whether workers that sleep can look after others.
    fn has_watch(&self) -> bool;

    /// Whether one that sleeps looks at this one while it runs something, and finds what it has pushed.
    fn is_watched(&self) -> bool;

    /// Whether it should set its alarm before it sleeps.
    fn wants_alarm(&self) -> bool;

    /// Whether there is a task for whoever looks, for the moment.
    fn has_work(&self) -> bool;

    /// The same without what other workers have.
    fn has_work_here(&self) -> bool;

    /// Wakes a sleeper, if there is one and no worker is waking.
    fn notify(&self);
}

/// What a worker has said of itself, and what it owes.
pub(crate) struct Duty {
    /// Whether its bit is set among the sleepers, or was and it was claimed.
    asleep: Cell<bool>,
    /// Whether it is the sleeper that watches, with an alarm.
    alarm: Cell<bool>,
    /// Whether it is the one that searches. Never while code of a task or the main future runs: see `before_own`.
    searching: Cell<bool>,
    /// Whether no such code was run since it rose.
    just_up: Cell<bool>,
    /// Whether tasks were pushed of which no other worker was told.
    unannounced: Cell<bool>,
}

impl Duty {
    /// Of a worker that is up since now.
    pub(crate) fn new() -> Self {
        Self {
            asleep: Cell::new(false),
            alarm: Cell::new(false),
            searching: Cell::new(false),
            just_up: Cell::new(true),
            unannounced: Cell::new(false),
        }
    }

    /// Tasks were pushed that others could take, while no code runs or is about to.
    #[inline]
    pub(crate) fn has_pushed(&self) {
        self.unannounced.set(true);
    }

    /// The same by code that runs, and may go on for ever.
    #[inline]
    pub(crate) fn has_pushed_in_run(&self, view: &impl View) {
        match view.is_watched() {
            true => self.unannounced.set(true),
            false => view.notify(),
        }
    }

    /// A task is about to be run: if there are more that another worker could take, one is woken for them.
    #[inline]
    pub(crate) fn before_task(&self, view: &impl View) {
        self.get_ready_if_needed(view);
        self.tell_others(view);
    }

    /// Code of this worker's own is about to run, which may take for ever: what it would do for others as soon as that is over
    /// is done now. But for a batch that a watcher would find: it need not cost a wake, which is often in vain.
    #[inline]
    pub(crate) fn before_own(&self, view: &impl View) {
        self.get_ready_if_needed(view);
        if self.unannounced.get() && !view.is_watched() {
            self.tell_others(view);
        }
    }

    /// Wakes a worker for what was pushed since this was called last.
    #[inline]
    pub(crate) fn tell_others(&self, view: &impl View) {
        if self.unannounced.get() {
            self.unannounced.set(false);
            if view.has_work_here() {
                view.notify();
            }
        }
    }

    #[inline]
    fn get_ready_if_needed(&self, view: &impl View) {
        if self.just_up.get() || self.searching.get() {
            self.get_ready(view);
        }
    }

    /// It does not stay the one that searches, for whom all others wait. And if nobody is set to look whether it is stuck, a
    /// sleeper is woken to see to that.
    #[cold]
    fn get_ready(&self, view: &impl View) {
        if !view.shares() {
            return;
        }
        let searched = self.searching.get();
        self.give_search_up(view);
        // Who came up while this one searched could wake nobody, and leaves that to it as well.
        if self.just_up.replace(false) || searched {
            self.have_others_watched(view);
        }
    }

    /// Whether it is the one that searches from now on, or is it already.
    pub(crate) fn search(&self, view: &impl View) -> bool {
        if !self.searching.get() && view.idle().search() {
            self.searching.set(true);
        }
        self.searching.get()
    }

    fn give_search_up(&self, view: &impl View) {
        if self.searching.replace(false) {
            self.unannounced.set(false);
            view.idle().found();
            if view.has_work() {
                view.notify();
            }
        }
    }

    fn have_others_watched(&self, view: &impl View) {
        if view.has_watch() && view.idle().is_unwatched() {
            view.notify();
        }
    }

    /// It shares no more. Its tasks were left to others, who know of them.
    pub(crate) fn stop(&self, view: &impl View) {
        self.give_search_up(view);
        // It may have been the watcher.
        self.have_others_watched(view);
    }

    /// Says that it sleeps: with an alarm to be set, or without. None if it must not, since there is work after all.
    pub(crate) fn sleep(&self, view: &impl View) -> Option<bool> {
        let (idle, wants_alarm) = (view.idle(), view.wants_alarm());
        self.asleep.set(true);
        let (must_look, alarm) = idle.sleep(view.index(), self.searching.replace(false), wants_alarm);
        self.alarm.set(alarm);
        // One that rose meanwhile has seen neither an alarm nor a sleeper.
        let is_late = !wants_alarm && view.wants_alarm() && idle.is_unwatched();
        if (must_look && view.has_work()) || is_late {
            self.rise(view);
            return None;
        }
        Some(alarm)
    }

    /// Says that it does not sleep any more. False if it did not.
    pub(crate) fn rise(&self, view: &impl View) -> bool {
        let slept = self.asleep.replace(false);
        if slept {
            self.just_up.set(true);
            if view.idle().rise(view.index(), self.alarm.replace(false)) {
                self.searching.set(true);
            }
        }
        slept
    }
}
