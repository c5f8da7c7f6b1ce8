//! What the caller's own code does in the middle of an operation that owns its buffer: nothing is stuck by it.

use std::{io::Write, mem::MaybeUninit};

use pike::buf::{IoBuf, IoBufMut};

use crate::{Cx, Outcome, Task, net};

/// A buffer that shows another memory at each call, and notes in good faith what it is told of the last one: no byte counts as
/// received that was not.
pub fn buffer_that_moves_is_told_the_truth(cx: &Cx) -> Outcome {
    struct Moving {
        places: [Box<[u8]>; 2],
        shown: usize,
        /// Of the place that was shown last, how many bytes are said to have come.
        told: usize,
    }
    impl IoBuf for Moving {
        fn bytes(&self) -> &[u8] {
            &[]
        }
    }
    impl IoBufMut for Moving {
        fn room(&mut self) -> &mut [MaybeUninit<u8>] {
            self.shown = (self.shown + 1) % 2;
            self.places[self.shown].room()
        }

        #[allow(unsafe_code)]
        unsafe fn filled(&mut self, count: usize) {
            self.told = count;
            let here = &self.places[self.shown][..count];
            assert!(here.iter().all(|&byte| byte == b'x'), "told of bytes that never came: {here:?}");
        }
    }

    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let moving = Moving { places: [(); 2].map(|()| vec![0; 8].into_boxed_slice()), shown: 0, told: 0 };
    let mut reading = Task::pending(stream.read_exact_owned(moving));
    for _ in 0..8 {
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "a byte", || reading.is_woken());
        if let std::task::Poll::Ready((result, moving)) = reading.poll() {
            assert_eq!(result.unwrap(), moving.told, "no more than it has");
            return Ok(());
        }
    }
    panic!("it has filled a buffer that forgets what it is given");
}
