//! What one operation of a direction needs: who owns it, its buffer, and its envelope.
#![allow(unsafe_code)]

use std::{mem::MaybeUninit, ptr::NonNull};

use super::{
    super::{block::Request, cargo::Cargo, life::Life},
    pooled_message::Streak,
};
use crate::{
    sync::UnsafeCell,
    sys::{
        Raw,
        platform::{self, Envelope},
    },
};

/// The place of one operation. What is in it but the life belongs to whom the life names.
pub(super) struct Half {
    pub(super) life: Life,
    pub(super) cargo: Cargo,
    /// Made when it is needed for the first time, and kept.
    parcel: UnsafeCell<Option<NonNull<Parcel>>>,
    /// Of pooled receives of messages.
    pub(super) streak: Streak,
}

struct Parcel {
    envelope: Envelope,
    /// Room only, which is never looked at as a vector.
    spill: Vec<u8>,
}

impl Half {
    pub(super) fn new() -> Self {
        Self {
            life: Life::new(),
            cargo: Cargo::new(),
            parcel: UnsafeCell::new(None),
            streak: Streak::default(),
        }
    }

    /// # Safety
    ///
    /// The caller owns the operation.
    unsafe fn parcel(&self) -> NonNull<Parcel> {
        self.parcel.with_mut(|at| {
            // SAFETY: the caller owns it.
            let parcel = unsafe { &mut *at };
            let new = || {
                NonNull::from(Box::leak(Box::new(Parcel { envelope: Envelope::new(), spill: Vec::new() })))
            };
            *parcel.get_or_insert_with(new)
        })
    }

    /// # Safety
    ///
    /// The caller owns the operation.
    pub(super) unsafe fn envelope(&self) -> NonNull<Envelope> {
        // SAFETY: passed on to the caller.
        let parcel = unsafe { self.parcel() };
        // SAFETY: it is there, as long as `self`; a field of it is not at null.
        unsafe { NonNull::new_unchecked(&raw mut (*parcel.as_ptr()).envelope) }
    }

    /// Frees what only some sockets need.
    pub(super) fn forget_spill(&mut self) {
        self.parcel.with_mut(|at| {
            // SAFETY: borrowed exclusively.
            if let Some(mut parcel) = unsafe { *at } {
                // SAFETY: as above.
                unsafe { parcel.as_mut() }.spill = Vec::new();
            }
        });
    }

    /// # Safety
    ///
    /// The caller owns the operation.
    unsafe fn spill(&self, len: usize) -> (*mut u8, usize) {
        // SAFETY: passed on to the caller.
        let parcel = unsafe { self.parcel() };
        // SAFETY: it is there, and nobody else looks at this field.
        let spill = unsafe { &mut (*parcel.as_ptr()).spill };
        spill.reserve_exact(len);
        (spill.as_mut_ptr(), len)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let parcel = self.parcel.with_mut(|at| {
            // SAFETY: nobody else has it any more.
            unsafe { (*at).take() }
        });
        if let Some(parcel) = parcel {
            // SAFETY: from a box, and given up once.
            drop(unsafe { Box::from_raw(parcel.as_ptr()) });
        }
    }
}

/// Collects the memory of one operation: a piece alone is named by the request itself, several by the envelope.
pub(crate) struct Pieces<'a> {
    half: &'a Half,
    first: Option<(*mut u8, usize)>,
    envelope: Option<NonNull<Envelope>>,
    is_message: bool,
    /// How many bytes more one call moves. A message is not cut.
    left: usize,
}

impl<'a> Pieces<'a> {
    /// # Safety
    ///
    /// The caller owns the operation for as long as this lives.
    pub(super) unsafe fn new(half: &'a Half, is_message: bool) -> Self {
        let left = if is_message { usize::MAX } else { platform::TRANSFER_MAX };
        Self { half, first: None, envelope: None, is_message, left }
    }

    /// Several from here on: the next call of each of these is a piece of its own.
    pub(crate) fn in_envelope(&mut self) -> &mut Envelope {
        let envelope = *self.envelope.get_or_insert_with(|| {
            // SAFETY: owned, by the promise at `new`; as below.
            let mut envelope = unsafe { self.half.envelope() };
            // SAFETY: as above.
            unsafe { envelope.as_mut() }.clear();
            envelope
        });
        // SAFETY: as above; borrowed no longer than `self`.
        let envelope = unsafe { &mut *envelope.as_ptr() };
        if let Some((at, len)) = self.first.take() {
            envelope.push(at, len);
        }
        envelope
    }

    fn push(&mut self, at: *mut u8, len: usize) {
        let len = len.min(self.left);
        self.left -= len;
        match (self.envelope, self.first) {
            (None, None) => self.first = Some((at, len)),
            _ => self.in_envelope().push(at, len),
        }
    }

    /// Whether no more take part: of a stream a call does less than it was asked for; a message is not cut.
    pub(crate) fn is_full(&self) -> bool {
        // SAFETY: owned, by the promise at `new`.
        !self.is_message && self.envelope.is_some_and(|envelope| unsafe { envelope.as_ref() }.is_full())
    }

    pub(crate) fn push_room(&mut self, room: &mut [MaybeUninit<u8>]) {
        self.push(room.as_mut_ptr().cast(), room.len());
    }

    /// It is only read.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        self.push(bytes.as_ptr().cast_mut(), bytes.len());
    }

    /// The request to receive into them, and of a message so much more. None if it is one for nothing, or not for the kernel.
    pub(super) fn receive(mut self, descriptor: Raw, spill: usize) -> Option<Request> {
        if self.is_message {
            // SAFETY: owned, by the promise at `new`.
            let (at, len) = unsafe { self.half.spill(spill) };
            let envelope = self.in_envelope();
            if envelope.total() < len {
                if envelope.lens().count() >= platform::VECTORS_MAX {
                    return None; // the system takes no more of them: who makes the call itself needs no such room
                }
                envelope.push(at, len);
            }
            envelope.ask_sender();
            return Some(Request::ReceiveMessage { descriptor, envelope });
        }
        match (self.first, self.envelope) {
            (Some((at, len)), None) if len > 0 => {
                Some(Request::Receive { descriptor, at, len: len.min(platform::TRANSFER_MAX) as u32 })
            }
            (_, Some(_)) => {
                let envelope = self.in_envelope();
                (envelope.total() > 0).then_some(Request::ReceiveMessage { descriptor, envelope })
            }
            _ => None,
        }
    }

    /// The request to send them.
    pub(super) fn send(mut self, descriptor: Raw, flags: i32) -> Request {
        match (self.first, self.envelope) {
            (Some((at, len)), None) => {
                Request::Send { descriptor, at, len: len.min(platform::TRANSFER_MAX) as u32, flags }
            }
            _ => Request::SendMessage { descriptor, envelope: self.in_envelope(), flags },
        }
    }
}
