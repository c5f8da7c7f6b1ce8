//! One script, run on every backend of this build: what a program sees is the same, line by line.
//!
//! Method: the script does one thing after the other and notes each outcome that a program could branch on: results, kinds
//! of errors, bytes, whether a buffer came back, who is woken by what and in which order. The traces are compared with that
//! of the first backend. What is no outcome is not noted, or waited out: how many turns something takes, hints of readiness
//! that may come once more, whether a cancel or an arrival was first (then what both add up to is noted), and how many bytes of
//! a stream come at once where they did not go at once.
//!
//! A scene a file: between them they have every operation, with borrowed buffers, owned ones and those of the pool.

mod connections;
mod datagrams;
mod dropped;
mod endings;
mod owned;
#[cfg(unix)]
mod pipes;
mod pooled;
mod stage;
mod streams;
#[cfg(unix)]
mod unix;
mod waiters;

use std::{panic, thread, time::Duration};

use pike::{Backend, Builder};
use pike_conformance::Cx;
use stage::{Form, Stage};

fn script(cx: &Cx, form: Form) -> Vec<String> {
    let mut stage = Stage::new(cx, form);
    stage.scene("connections", connections::scene);
    stage.scene("streams", streams::scene);
    stage.scene("owned", owned::scene);
    stage.scene("owned, given up", owned::given_up);
    stage.scene("pooled", pooled::scene);
    stage.scene("pooled, two buffers", pooled::dry);
    stage.scene("datagrams", datagrams::scene);
    stage.scene("datagrams, owned", datagrams::owned);
    stage.scene("datagrams, pooled", datagrams::pooled);
    stage.scene("datagrams, refused", datagrams::refused);
    #[cfg(unix)]
    stage.scene("pipes", pipes::scene);
    #[cfg(unix)]
    stage.scene("Unix streams", unix::streams);
    #[cfg(unix)]
    stage.scene("Unix datagrams", unix::datagrams);
    stage.scene("dropped, streams", dropped::streams);
    stage.scene("dropped, datagrams", dropped::datagrams);
    stage.scene("dropped, connections", dropped::connections);
    stage.scene("waiters", waiters::scene);
    stage.scene("timers", waiters::timers);
    stage.scene("cancelled", endings::cancelled);
    stage.scene("closed", endings::closed);
    stage.scene("the Notifier is shut down", endings::shut_down);
    stage.scene("the Notifier is dropped", endings::notifier_gone);
    stage.into_trace()
}

/// Where the thread that makes a Notifier is to turn it, a ring works otherwise.
const FORMS: [(&str, Form); 2] = [("", |builder| builder), (", bound", Builder::bound)];

#[test]
fn every_backend_makes_the_same_trace() {
    let play = |backend, (name, form): (&str, Form)| {
        let cx = Cx::new(format!("{backend}::trace"), backend, Duration::from_secs(120));
        (format!("{backend}{name}"), script(&cx, form))
    };
    // Beside each other: most of the time nothing is to happen, and does not.
    let traces: Vec<(String, Vec<String>)> = thread::scope(|scope| {
        let runs = FORMS.iter().flat_map(|form| Backend::BUILT.iter().map(move |&backend| (backend, *form)));
        let threads: Vec<_> = runs.map(|(backend, form)| scope.spawn(move || play(backend, form))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
            .collect()
    });
    let (first, expected) = &traces[0];
    assert!(expected.len() > 200, "{expected:#?}");
    for (other, trace) in &traces[1..] {
        let differ: Vec<_> = expected.iter().zip(trace).filter(|(line, its)| line != its).collect();
        assert!(differ.is_empty(), "{first}, and {other}: {differ:#?}");
        assert_eq!(trace.len(), expected.len(), "{other} says more or less than {first}");
    }
}
