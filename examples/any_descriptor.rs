//! Any descriptor, here the terminal, and a game loop that turns the Notifier itself.
//!
//! ```text
//! cargo run --release --example any_descriptor        in a terminal: type lines; ctrl-d ends it
//! ```
//!
//! On Unix: Windows waits for sockets only.

#[cfg(unix)]
mod game {
    use std::{
        fs::File,
        io::{self, Read, Write},
        time::{Duration, Instant},
    };

    use pike::{Handle, Interest, Notifier};

    const FRAME: Duration = Duration::from_millis(16);

    pub fn main() -> io::Result<()> {
        let notifier = Notifier::new()?;
        let _here = notifier.enter();
        let terminal = Handle::new(File::open("/dev/tty")?)?;
        let mut buf = [0; 64];

        // As a future: sleeps until there is a line.
        println!("press enter to start");
        notifier.block_on(terminal.async_io(Interest::READABLE, |mut terminal| terminal.read(&mut buf)))?;

        // As a loop of your own. A turn ends when anything happens, so a frame may take several.
        let mut next = Instant::now();
        for frame in 1_u64.. {
            next += FRAME;
            while let Some(rest) = next.checked_duration_since(Instant::now()) {
                notifier.poll(Some(rest))?;
            }
            match terminal.try_io(Interest::READABLE, |mut terminal| terminal.read(&mut buf)) {
                Ok(0) => break,
                Ok(n) => println!("\rframe {frame}: {:?}", String::from_utf8_lossy(&buf[..n])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            print!("\rframe {frame} ");
            io::stdout().flush()?;
        }
        println!();
        Ok(())
    }
}

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    game::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("any_descriptor: this system waits for sockets only");
}
