//! A slot's uses: reports for an earlier one change nothing.

use loom::{sync::Arc, thread};

use super::Wakes;
use crate::{
    registry::{Registry, View},
    source::{Direction, READ_BITS, READABLE, Wait},
};

/// A turn applies a report for a descriptor that goes meanwhile, and whose slot is used again: the next user sees
/// nothing of it, and is woken by its own. Caught: the generation compared before the word is read, or not at all.
#[test]
#[allow(unsafe_code)]
fn loom_slot_used_again_refuses_a_stale_report() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let (source, token) = registry.open(0).unwrap();
        // SAFETY: the registry outlives it.
        let source = unsafe { source.as_ref() };
        let (earlier, waker) = Wakes::new();
        assert_eq!(source.wait_in_slot(Direction::Read, READ_BITS, &waker), Wait::Linked);
        let turn = {
            let registry = registry.clone();
            thread::spawn(move || {
                let (mut view, mut woken) = (View::default(), Vec::new());
                let source = registry.look_up(&mut view, token).unwrap();
                source.report(token.generation(), READABLE, &mut woken);
                woken.into_iter().for_each(std::task::Waker::wake);
            })
        };
        let mut woken = Vec::new();
        registry.retire(token, &mut woken);
        woken.into_iter().for_each(std::task::Waker::wake);
        let (_, next) = registry.open(0).unwrap();
        assert_eq!((next.slot(), next.generation()), (token.slot(), token.generation() + 1));
        let (wakes, waker) = Wakes::new();
        assert_eq!(source.wait_in_slot(Direction::Read, READ_BITS, &waker), Wait::Linked);
        turn.join().unwrap();
        assert_eq!(earlier.count(), 1);
        assert!(!source.seen().any(READABLE));
        // What a stale report may do is wake for nothing. The waiter looks, and waits again.
        if wakes.count() == 1 {
            assert_eq!(source.wait_in_slot(Direction::Read, READ_BITS, &waker), Wait::Linked);
        }
        let before = wakes.count();
        let mut woken = Vec::new();
        source.report(next.generation(), READABLE, &mut woken);
        woken.into_iter().for_each(std::task::Waker::wake);
        assert_eq!(wakes.count(), before + 1);
    });
}

/// Registrations race the end of the Notifier: each is refused or closed.
#[test]
#[allow(unsafe_code)]
fn loom_slot_opened_as_the_registry_closes() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let closer = {
            let registry = registry.clone();
            thread::spawn(move || registry.close(&mut Vec::new()))
        };
        let opened = registry.open(READABLE);
        closer.join().unwrap();
        if let Some((source, _)) = opened {
            // SAFETY: the registry is alive.
            assert!(unsafe { source.as_ref() }.seen().is_closed());
        }
    });
}
