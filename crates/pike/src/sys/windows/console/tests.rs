use std::{
    os::windows::process::CommandExt,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use windows_sys::Win32::System::{
    Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent},
    Threading::DETACHED_PROCESS,
};

use super::*;
use crate::{
    Notifier, Signal,
    os::windows::signal::{CLOSE, CTRL_BREAK, LOGOFF, SHUTDOWN},
    signal::SignalKind,
};

/// All listen to the events of one process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the system does: it calls the handler on a thread of its own.
fn happen(kind: SignalKind) -> JoinHandle<BOOL> {
    // SAFETY: takes no pointer, and may be called on any thread.
    thread::spawn(move || unsafe { on_event(kind.as_raw() as u32) })
}

fn signal(notifier: &Notifier, kind: SignalKind) -> Signal {
    let _here = notifier.enter();
    Signal::new(kind).unwrap()
}

#[test]
fn nobody_listens_and_nobody_is_told() {
    let _alone = alone();
    let notifier = Notifier::new().unwrap();
    let logoff = signal(&notifier, LOGOFF);
    assert_eq!(happen(SHUTDOWN).join().unwrap(), FALSE);
    assert_eq!(happen(SignalKind::from_raw(3)).join().unwrap(), FALSE);
    drop(logoff);
    assert_eq!(happen(LOGOFF).join().unwrap(), FALSE);
}

/// Goal: the handler returns when the program has done what it does, and not before.
#[test]
fn what_is_received_holds_the_handler() {
    let _alone = alone();
    let notifier = Notifier::new().unwrap();
    let (one, other) = (signal(&notifier, SHUTDOWN), signal(&notifier, SHUTDOWN));
    let handler = happen(SHUTDOWN);
    let received = [&one, &other].map(|signal| notifier.block_on(signal.recv()).unwrap());
    assert!(received.iter().all(|received| (received.kind(), received.count()) == (SHUTDOWN, 1)));
    let [first, second] = received;
    drop(first);
    thread::sleep(Duration::from_millis(100));
    assert!(!handler.is_finished(), "the other has received it, too");
    // Neither waits for the handler, which waits for `second`.
    drop((one, other));
    assert!(!handler.is_finished());
    drop(second);
    assert_eq!(handler.join().unwrap(), TRUE);
}

/// Goal: who listens, does not receive, and goes holds nobody up.
#[test]
fn what_nobody_receives_goes_with_its_signal() {
    let _alone = alone();
    let notifier = Notifier::new().unwrap();
    let [signal, other] = [(); 2].map(|()| signal(&notifier, LOGOFF));
    let handlers = [happen(LOGOFF), happen(LOGOFF)];
    // Both have been told once another listener has received both.
    let mut told = 0;
    while told < 2 {
        told += notifier.block_on(other.recv()).unwrap().count();
    }
    thread::sleep(Duration::from_millis(100));
    assert!(handlers.iter().all(|handler| !handler.is_finished()));
    drop(signal);
    assert!(handlers.map(|handler| handler.join().unwrap()).iter().all(|handled| *handled == TRUE));
}

/// Goal: ctrl-c and ctrl-break end nothing once they are handled, so that nothing is held.
#[test]
fn ctrl_c_and_ctrl_break_hold_nobody() {
    let _alone = alone();
    assert!(!is_held(CTRL_C_EVENT as i32) && !is_held(CTRL_BREAK_EVENT as i32));
    if !has_console() {
        return println!("skipped: no console, and so no ctrl-c (run it in a terminal, as `script -qec`)");
    }
    let notifier = Notifier::new().unwrap();
    for kind in [SignalKind::INTERRUPT, CTRL_BREAK] {
        let signal = signal(&notifier, kind);
        assert_eq!(happen(kind).join().unwrap(), TRUE);
        let received = notifier.block_on(signal.recv()).unwrap();
        assert_eq!((received.kind(), received.info()), (kind, None));
    }
}

/// Goal: the system itself calls the handler, and a turn that sleeps hears of it.
#[test]
fn the_system_tells_of_ctrl_c() {
    let _alone = alone();
    if !has_console() {
        return println!("skipped: no console, and so no ctrl-c (run it in a terminal, as `script -qec`)");
    }
    let notifier = Notifier::new().unwrap();
    let ctrl_c = {
        let _here = notifier.enter();
        crate::signal::ctrl_c()
    };
    let presses = thread::spawn(|| {
        thread::sleep(Duration::from_millis(50));
        // SAFETY: takes no pointer. Of the processes of this console, this one handles it.
        assert_ne!(unsafe { GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) }, FALSE);
    });
    notifier.block_on(ctrl_c).unwrap();
    presses.join().unwrap();
}

#[test]
fn what_is_no_event_is_refused() {
    for number in [3, 4, 7, 127, -1, i32::MAX] {
        let error = Signal::new(SignalKind::from_raw(number)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ERROR_INVALID_PARAMETER as i32), "{number}");
    }
}

/// Goal: a process without a console is told that ctrl-c cannot come. The test runs itself as such a process.
#[test]
fn without_a_console_there_is_no_ctrl_c() {
    const CHILD: &str = "PIKE_TEST_NO_CONSOLE";
    if std::env::var_os(CHILD).is_some() {
        assert!(!has_console());
        for kind in [SignalKind::INTERRUPT, CTRL_BREAK, CLOSE] {
            let error = Signal::new(kind).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert_eq!(error.to_string(), format!("{kind} cannot be received: this process has no console"));
        }
        assert!(Signal::termination().is_err());
        return drop(Signal::new([LOGOFF, SHUTDOWN]).unwrap());
    }
    let name = thread::current().name().unwrap().to_owned();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--test-threads=1"]).env(CHILD, "1").creation_flags(DETACHED_PROCESS);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Goal: two threads make and drop Signals while events come; nothing hangs, and every handler returns.
#[test]
fn signals_come_and_go_while_events_come() {
    let _alone = alone();
    let (done, is_done) = mpsc::channel::<()>();
    let events = thread::spawn(move || {
        while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
            happen(SHUTDOWN).join().unwrap();
        }
    });
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let notifier = Notifier::new().unwrap();
                for _ in 0..50 {
                    let signal = signal(&notifier, SHUTDOWN);
                    thread::yield_now();
                    drop(signal);
                }
            });
        }
    });
    drop(done);
    events.join().unwrap();
}
