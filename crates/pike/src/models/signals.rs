//! Listeners to signals: slots that a handler walks, and what it leaves there.

use std::ptr::NonNull;

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire},
    },
    thread,
};

use crate::{
    posted::{Post, Posted},
    signal::{
        Sender,
        heard::Heard,
        slots::{Slot, Slots},
    },
    token::Token,
    word::{Waiting, Word},
};

/// A listener that loom watches: a visit while its owner has it, or after, is a race.
struct Item(UnsafeCell<u32>);

// SAFETY: the slots are what makes it so, and what is tried here.
#[allow(unsafe_code)]
unsafe impl Sync for Item {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Item {}

#[allow(unsafe_code)]
impl Item {
    fn new(value: u32) -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(value)))
    }

    fn add<'a>(&self, slots: &'a Slots<Self>) -> &'a Slot<Self> {
        // SAFETY: every model removes it before it lets go of its share.
        unsafe { slots.add(NonNull::from(self)) }
    }

    fn visit(&self) -> u32 {
        // SAFETY: read only; loom says if somebody writes at the same time.
        self.0.with(|at| unsafe { *at })
    }

    /// What its owner does with it afterwards.
    fn destroy(&self) {
        // SAFETY: nobody else looks at it; loom says if somebody does.
        self.0.with_mut(|at| unsafe { *at = u32::MAX });
    }
}

fn walk(slots: &Slots<Item>) -> u32 {
    let mut sum = 0;
    slots.walk(|item| sum += item.visit());
    assert!(sum < u32::MAX / 2, "an item was visited after it was removed");
    sum
}

/// Two handlers walk while a listener goes. Caught: no wait for the visitors; a wait with Relaxed; a visitor that goes
/// with Relaxed; LISTENED looked at before the visitor is added.
#[test]
fn loom_signals_walk_races_remove() {
    loom::model(|| {
        let slots = Arc::new(Slots::new());
        let item = Item::new(1);
        let slot = item.add(&slots);
        let walkers = [(); 2].map(|()| {
            let slots = slots.clone();
            thread::spawn(move || walk(&slots))
        });
        slots.remove(slot);
        item.destroy();
        for walker in walkers {
            assert!(walker.join().unwrap() <= 1);
        }
        assert_eq!(walk(&slots), 0);
    });
}

/// A handler walks while a listener goes and another takes its slot: it sees one of them, or none, or both in turn.
/// Caught: an item written before the slot is claimed, or LISTENED set with Relaxed.
#[test]
fn loom_signals_walk_races_reuse() {
    loom::model(|| {
        let slots = Arc::new(Slots::new());
        let (one, other) = (Item::new(1), Item::new(10));
        let slot = one.add(&slots);
        let walker = {
            let slots = slots.clone();
            thread::spawn(move || (walk(&slots), walk(&slots)))
        };
        slots.remove(slot);
        one.destroy();
        let slot = other.add(&slots);
        let (first, second) = walker.join().unwrap();
        assert!([0, 1, 10].contains(&first) && [0, 1, 10].contains(&second));
        assert!(first <= second || second == 0 && first == 1, "{first}, then {second}");
        slots.remove(slot);
        other.destroy();
    });
}

/// Two listeners come at once while a handler walks: each gets a slot of its own.
#[test]
fn loom_signals_two_add() {
    loom::model(|| {
        let slots = Arc::new(Slots::new());
        let adders = [1, 10].map(|value| {
            let slots = slots.clone();
            thread::spawn(move || {
                let item = Item::new(value);
                let slot = item.add(&slots);
                assert!([value, 11].contains(&walk(&slots)));
                slots.remove(slot);
                item.destroy();
            })
        });
        walk(&slots);
        adders.into_iter().for_each(|adder| adder.join().unwrap());
        assert_eq!(walk(&slots), 0);
    });
}

/// Signals arrive on two threads while a turn and a receive go by: at the end all of them were received, and no turn
/// would sleep on one. Caught: the Event notified before the word is written.
#[test]
fn loom_signals_none_is_lost() {
    struct Shared {
        heard: Heard,
        post: crate::sync::Arc<Post>,
        posted: Posted,
        word: Word,
    }

    impl Shared {
        /// As `Listener::hear`.
        fn hear(&self) {
            self.heard.add(Sender { process: 1, user: 2 });
            self.post.count.swap(1, AcqRel);
            if self.posted.push(&self.post) {
                self.word.notify();
            }
        }

        /// A turn, and the receive that it wakes.
        fn turn(&self) -> u64 {
            self.word.end();
            let mut woken = false;
            self.posted.drain(|post| woken |= post.count.load(Acquire) > 0);
            match woken {
                true => self.recv(),
                false => 0,
            }
        }

        /// As `Event::wait_and` with `Listener::take`.
        fn recv(&self) -> u64 {
            self.post.count.swap(0, AcqRel);
            self.heard.take().map_or(0, |(count, sender)| {
                assert_eq!(sender, Sender { process: 1, user: 2 });
                count
            })
        }
    }

    loom::model(|| {
        let shared = Arc::new(Shared {
            heard: Heard::new(),
            post: Post::new(Token::new(0, 0)),
            posted: Posted::new(),
            word: Word::new(),
        });
        let handlers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || shared.hear())
        });
        let mut received = shared.turn();
        handlers.into_iter().for_each(|handler| handler.join().unwrap());
        while !shared.word.begin(Waiting::Asleep) {
            received += shared.turn();
        }
        assert_eq!(received, 2);
    });
}
