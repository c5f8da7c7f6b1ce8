//! Where the sources of a Notifier live: slots in chunks that are never moved or freed before the Notifier's memory
//! is, so that a report may look at a slot at any time and find it retired at worst (I4).

use std::{ptr::NonNull, task::Waker};

use crate::{
    source::Source,
    sync::{Mutex, atomic::Ordering},
    token::{SLOT_MAX, Token},
};

/// Slots a chunk: 64 sources are about 6 KiB, little for a small program, and few chunks for a large one.
#[cfg(not(loom))]
const CHUNK: usize = 64;
#[cfg(loom)]
const CHUNK: usize = 2;
/// The end of the free list.
const NONE: u32 = u32::MAX;

type Chunk = [Source; CHUNK];

/// All slots of a Notifier.
#[derive(Debug)]
pub(crate) struct Registry {
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    chunks: Vec<NonNull<Chunk>>,
    free: u32,
    used: usize,
    closed: bool,
}

// SAFETY: the chunks are owned by `Slots`, and a Source is Send and Sync.
#[allow(unsafe_code)]
unsafe impl Send for Slots {}

/// The seat's own copy of the chunk table, so that looking a token up takes no lock.
#[derive(Debug, Default)]
pub(crate) struct View {
    chunks: Vec<NonNull<Chunk>>,
}

// SAFETY: as for `Slots`; the view is used only with the registry that filled it.
#[allow(unsafe_code)]
unsafe impl Send for View {}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::new(Slots { chunks: Vec::new(), free: NONE, used: 0, closed: false }) }
    }

    /// Takes a free slot and opens it with `bits`. None once the registry is closed, or if 4 billion slots are taken.
    #[allow(unsafe_code)]
    pub(crate) fn open(&self, bits: u64) -> Option<(NonNull<Source>, Token)> {
        let mut slots = self.slots.lock();
        if slots.closed || (slots.free == NONE && !slots.grow()) {
            return None;
        }
        let slot = slots.free;
        let at = slots.at(slot);
        // SAFETY: chunks live as long as the registry.
        let source = unsafe { at.as_ref() };
        slots.free = source.next_free.load(Ordering::Relaxed);
        slots.used += 1;
        source.open(bits);
        Some((at, Token::new(slot, source.generation())))
    }

    /// Ends the use of a slot; who still waited there is taken into `into`.
    #[allow(unsafe_code)]
    pub(crate) fn retire(&self, token: Token, into: &mut Vec<Waker>) {
        let mut slots = self.slots.lock();
        // SAFETY: chunks live as long as the registry.
        let source = unsafe { slots.at(token.slot()).as_ref() };
        debug_assert_eq!(source.generation(), token.generation());
        slots.used -= 1;
        if source.retire(into) {
            source.next_free.store(slots.free, Ordering::Relaxed);
            slots.free = token.slot();
        }
    }

    /// Refuses new sources and closes every one there is.
    #[allow(unsafe_code)]
    pub(crate) fn close(&self, into: &mut Vec<Waker>) {
        let mut slots = self.slots.lock();
        slots.closed = true;
        for chunk in &slots.chunks {
            // SAFETY: chunks live as long as the registry. Free slots are closed already and have no waiters.
            unsafe { chunk.as_ref() }.iter().for_each(|source| source.close(into));
        }
    }

    /// How many slots are in use.
    pub(crate) fn used(&self) -> usize {
        self.slots.lock().used
    }

    /// A chunk that is new to the view; or a token of the backend itself, which has no slot.
    #[cold]
    fn refresh(&self, view: &mut View, token: Token) {
        if token.slot() < SLOT_MAX {
            view.chunks.clone_from(&self.slots.lock().chunks);
        }
    }

    /// The source that `token` was made for, or another one in its slot: the generation tells.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn look_up<'a>(&'a self, view: &mut View, token: Token) -> Option<&'a Source> {
        let (chunk, at) = (token.slot() as usize / CHUNK, token.slot() as usize % CHUNK);
        if chunk >= view.chunks.len() {
            self.refresh(view, token);
        }
        // SAFETY: chunks live as long as the registry.
        view.chunks.get(chunk).map(|chunk| unsafe { &chunk.as_ref()[at] })
    }
}

#[allow(unsafe_code)]
impl Slots {
    fn at(&self, slot: u32) -> NonNull<Source> {
        let chunk = self.chunks[slot as usize / CHUNK];
        // SAFETY: in bounds of a live chunk.
        unsafe { chunk.cast::<Source>().add(slot as usize % CHUNK) }
    }

    fn grow(&mut self) -> bool {
        let first = self.chunks.len() * CHUNK;
        if first + CHUNK > SLOT_MAX as usize {
            return false;
        }
        let sources: Box<[Source]> = (0..CHUNK).map(|_| Source::new()).collect();
        for (at, source) in sources.iter().enumerate() {
            let next = if at + 1 == CHUNK { NONE } else { (first + at + 1) as u32 };
            source.next_free.store(next, Ordering::Relaxed);
        }
        self.free = first as u32;
        self.chunks.push(NonNull::from(Box::leak(sources)).cast());
        true
    }
}

#[allow(unsafe_code)]
impl Drop for Slots {
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..) {
            // SAFETY: made by `grow` from a box, and whoever held a source held the registry's memory too.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_refuses_reports_for_its_last_use() {
        let registry = Registry::new();
        let mut view = View::default();
        let mut woken = Vec::new();
        let (_, first) = registry.open(0).unwrap();
        registry.retire(first, &mut woken);
        let (_, second) = registry.open(0).unwrap();
        assert_eq!(first.slot(), second.slot());
        let source = registry.look_up(&mut view, first).unwrap();
        source.report(first.generation(), crate::source::READABLE, &mut woken);
        assert!(!source.seen().any(crate::source::READABLE));
        source.report(second.generation(), crate::source::READABLE, &mut woken);
        assert!(source.seen().any(crate::source::READABLE));
    }

    #[test]
    fn slots_are_reused_before_a_chunk_is_added() {
        let registry = Registry::new();
        let mut woken = Vec::new();
        let many = crate::testing::rounds(1000, 200);
        let tokens: Vec<_> = (0..many).map(|_| registry.open(0).unwrap().1).collect();
        assert_eq!(registry.used(), many);
        let chunks = registry.slots.lock().chunks.len();
        for token in tokens {
            registry.retire(token, &mut woken);
        }
        assert!((0..many).all(|_| registry.open(0).is_some()));
        assert_eq!(registry.slots.lock().chunks.len(), chunks);
    }

    #[test]
    fn a_closed_registry_opens_nothing() {
        let registry = Registry::new();
        let (source, _) = registry.open(0).unwrap();
        registry.close(&mut Vec::new());
        assert!(registry.open(0).is_none());
        #[allow(unsafe_code)]
        // SAFETY: the registry is alive.
        let source = unsafe { source.as_ref() };
        assert!(source.seen().is_closed());
    }

    #[test]
    fn unknown_tokens_are_nobody() {
        assert!(Registry::new().look_up(&mut View::default(), Token::internal(0)).is_none());
    }

    #[test]
    fn a_slot_without_generations_left_is_not_used_again() {
        let registry = Registry::new();
        let (source, token) = registry.open(0).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: the registry is alive.
        unsafe { source.as_ref() }.set_generation(u32::MAX);
        registry.retire(Token::new(token.slot(), u32::MAX), &mut Vec::new());
        let tokens: Vec<_> = (0..2 * CHUNK).map(|_| registry.open(0).unwrap().1).collect();
        assert!(tokens.iter().all(|other| other.slot() != token.slot()));
        assert_eq!(registry.used(), 2 * CHUNK);
    }

    #[test]
    fn slots_stay_where_they_are_and_a_view_finds_new_ones() {
        let registry = Registry::new();
        let mut view = View::default();
        let opened: Vec<_> = (0..3 * CHUNK).map(|_| registry.open(0).unwrap()).collect();
        for (source, token) in opened {
            assert!(std::ptr::eq(registry.look_up(&mut view, token).unwrap(), source.as_ptr()));
        }
    }

    #[test]
    fn a_retire_wakes_who_waits_there_and_nobody_else() {
        let (registry, log) = (Registry::new(), crate::testing::Log::default());
        let mut view = View::default();
        let tokens = [(); 2].map(|()| registry.open(0).unwrap().1);
        for (name, token) in tokens.into_iter().enumerate() {
            let direction = crate::source::Direction::Write;
            let source = registry.look_up(&mut view, token).unwrap();
            let _ = source.wait_in_slot(direction, direction.bits(), &log.waker(name));
        }
        for (name, token) in tokens.into_iter().enumerate() {
            let mut woken = Vec::new();
            registry.retire(token, &mut woken);
            woken.into_iter().for_each(Waker::wake);
            assert_eq!(log.take(), [name]);
        }
        assert_eq!(registry.used(), 0);
    }
}
