//! What goes on at a lane: bits that are asked for without its lock.

use crate::source::Direction;

/// The request for what comes in is not finally reaped.
const COMES_IN: u8 = 1;
/// The one for what goes out is not.
const GOES_OUT: u8 = 2;
pub(super) const IN_FLIGHT: u8 = COMES_IN | GOES_OUT;
/// Something is to be done once one of them has ended: to shut down, or to close. Set and cleared under the lock.
pub(super) const LATER: u8 = 4;
/// The kernel receives or accepts until it is stopped, and its end is reported. As the state says it, under whose lock
/// this changes and the next.
pub(super) const GOES_ON: u8 = 8;
/// One receives.
pub(super) const ONE_RECEIVES: u8 = 16;
pub(super) const RECEIVES: u8 = GOES_ON | ONE_RECEIVES;

pub(super) const fn in_flight(direction: Direction) -> u8 {
    match direction {
        Direction::Read => COMES_IN,
        Direction::Write => GOES_OUT,
    }
}
