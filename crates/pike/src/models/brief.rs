//! The brief lock: loom sees each use of what is under it. Without the Release of the unlock that is a race.

use loom::thread;

use crate::sync::{Arc, brief::Brief};

#[test]
fn loom_brief_one_at_a_time() {
    loom::model(|| {
        let brief = Arc::new(Brief::new(0));
        let other = {
            let brief = Arc::clone(&brief);
            thread::spawn(move || *brief.lock() += 1)
        };
        *brief.lock() += 1;
        other.join().unwrap();
        assert_eq!(*brief.lock(), 2);
    });
}
