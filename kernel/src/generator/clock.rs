//! Clocks and timers of a load, in nanoseconds.

use std::time::Duration;

use rustix::time::{
    clock_gettime, timerfd_create, timerfd_settime, ClockId, Itimerspec, TimerfdClockId,
    TimerfdFlags, TimerfdTimerFlags, Timespec,
};

pub const NANOS: u64 = 1_000_000_000;
/// Faster, a timer would only burn time: more than one message is due at each turn then.
const INTERVAL_MIN: Duration = Duration::from_micros(50);

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * NANOS + time.tv_nsec as u64
}

pub fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Of this thread.
pub fn cpu() -> u64 {
    nanos(ClockId::ThreadCPUTime)
}

pub fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

pub fn nanos_of(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Fires `rate` times a second: a sleep in an epoll is only good to a millisecond.
pub fn timer(rate: f64) -> Result<rustix::fd::OwnedFd, String> {
    let words = |error: rustix::io::Errno| error.to_string();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).map_err(words)?;
    let interval = Duration::from_secs_f64(1.0 / rate).max(INTERVAL_MIN);
    let interval = Timespec::try_from(interval).map_err(|error| error.to_string())?;
    let times = Itimerspec {
        it_interval: interval,
        it_value: interval,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).map_err(words)?;
    Ok(timer)
}
