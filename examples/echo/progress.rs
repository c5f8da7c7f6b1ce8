//! What is shown while it runs: one line that is written anew on a terminal, else a line each time.

use std::io::{self, IsTerminal, Write};

pub struct Progress {
    terminal: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    pub fn show(&self, text: &str) {
        let mut out = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = match self.terminal {
            true => write!(out, "\r{text}\x1b[K"),
            false => writeln!(out, "{text}"),
        };
    }
}

impl Drop for Progress {
    /// Makes room for what comes next.
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
