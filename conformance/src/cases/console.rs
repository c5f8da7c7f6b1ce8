//! Console events: ctrl-c as the system sends it, what cannot come, and a process without a console. What the handler does
//! for a closed console, a logoff and a shutdown has unit tests, since nobody can send these.
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};

use pike::{
    Event, Signal,
    os::windows::signal::{CLOSE, CTRL_BREAK, LOGOFF, SHUTDOWN},
    signal::{SignalKind, ctrl_c},
};
use windows_sys::Win32::System::Console::{CTRL_C_EVENT, GenerateConsoleCtrlEvent, GetConsoleProcessList};

use crate::{
    Cx, Outcome, Skip,
    net::{assert_kind, soon},
};

fn has_console() -> bool {
    let mut process = 0;
    // SAFETY: room for one number, which it is told.
    unsafe { GetConsoleProcessList(&mut process, 1) > 0 }
}

fn needs_console() -> Result<(), Skip> {
    match has_console() {
        true => Ok(()),
        false => {
            Err(Skip::because("no console, and so no ctrl-c: run it in a terminal, as `script -qec` has one"))
        }
    }
}

/// To all of this console, which is this process: the runner of the tests has none.
#[track_caller]
fn press() {
    // SAFETY: takes no pointer.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) };
    assert_ne!(sent, 0, "{}", io::Error::last_os_error());
}

/// Every listener hears of ctrl-c, on whatever Notifier; several that nobody has received are one, with their count.
pub fn console_ctrl_c(cx: &Cx) -> Outcome {
    needs_console()?;
    let (one, other) = (cx.notifier(), cx.notifier());
    let listen = |notifier: &pike::Notifier| {
        let _here = notifier.enter();
        (Signal::new(SignalKind::INTERRUPT).unwrap(), Signal::termination().unwrap())
    };
    let ((interrupt, termination), (elsewhere, _unheard)) = (listen(&one), listen(&other));
    let waits = {
        let _here = one.enter();
        ctrl_c()
    };
    press();
    for (notifier, signal) in [(&one, &interrupt), (&one, &termination), (&other, &elsewhere)] {
        let received = soon(notifier, "ctrl-c", signal.recv()).unwrap();
        assert_eq!((received.kind(), received.count()), (SignalKind::INTERRUPT, 1));
        assert!(received.info().is_none(), "nobody tells who pressed it");
    }
    soon(&one, "ctrl-c", waits).unwrap();

    // Two that nobody here has received. That the first was handled before the second is sent, the other listener tells: two at
    // once may be one to the terminal that Wine shows, as two signals of Unix are.
    for _ in 0..2 {
        press();
        assert_eq!(soon(&other, "one of two", elsewhere.recv()).unwrap().count(), 1);
    }
    let mut count = 0;
    while count < 2 {
        count += soon(&one, "two more", interrupt.recv()).unwrap().count();
    }
    assert_eq!(count, 2);
    Ok(())
}

/// Listeners that come and go leave nothing behind: what comes after is heard by those who listen then.
pub fn console_again_and_again(cx: &Cx) -> Outcome {
    needs_console()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    // Somebody listens all the time, or the next ctrl-c would end this process.
    let always = Signal::new(SignalKind::INTERRUPT).unwrap();
    for round in 1..=20 {
        let signal = Signal::new([SignalKind::INTERRUPT, CTRL_BREAK]).unwrap();
        press();
        assert_eq!(soon(&notifier, "ctrl-c", signal.recv()).unwrap().count(), 1, "round {round}");
        drop(signal);
        assert_eq!(soon(&notifier, "ctrl-c", always.recv()).unwrap().count(), 1, "round {round}");
    }
    Ok(())
}

/// What is no event is refused, and what cannot come to a process without a console, with words that say so. Nothing has
/// changed then.
pub fn console_bad_input(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _here = notifier.enter();
    for number in [3, 4, 7, 127, -1, i32::MAX] {
        let error = Signal::new(SignalKind::from_raw(number)).unwrap_err();
        assert_kind(&error, &[ErrorKind::InvalidInput]);
        assert!(error.raw_os_error().is_some());
        // None of several either.
        assert!(Signal::new([SHUTDOWN, SignalKind::from_raw(number)]).is_err());
    }
    assert_eq!(Signal::new([]).unwrap_err().kind(), ErrorKind::InvalidInput);
    for kind in [SignalKind::INTERRUPT, CTRL_BREAK, CLOSE] {
        match Signal::new(kind) {
            Ok(_) => assert!(has_console(), "{kind}"),
            Err(error) => {
                assert!(!has_console(), "{kind}: {error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().ends_with("this process has no console"), "{error}");
            }
        }
    }
    assert_eq!(Signal::termination().is_ok(), has_console());
    assert_eq!(soon(&notifier, "an answer", ctrl_c_or_nothing()).is_ok(), has_console());
    // Services are told of these, and may have no console.
    let signal = Signal::new([LOGOFF, SHUTDOWN]).unwrap();
    assert_eq!(signal.kinds().iter().count(), 2);
    Ok(())
}

/// Whether one can wait for ctrl-c.
async fn ctrl_c_or_nothing() -> io::Result<()> {
    let waits = ctrl_c();
    let now = Event::new()?;
    now.notify();
    futures_lite::future::or(waits, async { now.wait().await.map(drop) }).await
}
