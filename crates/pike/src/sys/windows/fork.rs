//! Processes do not fork here: what asks whether one did (I14) gets the same answer for ever.

use std::io;

#[inline]
pub(crate) const fn forks() -> u32 {
    0
}

#[inline]
pub(crate) const fn forked() -> u64 {
    0
}

#[expect(clippy::unnecessary_wraps, reason = "it can fail where there are forks")]
pub(crate) const fn watch_forks() -> io::Result<()> {
    Ok(())
}
