//! A run: open everything, warm up, measure, let everything arrive, compare, close.

use std::time::Duration;

use rustix::event::epoll;
use rustix::time::{
    clock_gettime, timerfd_create, timerfd_settime, ClockId, Itimerspec, TimerfdClockId,
    TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use super::consumer::Consumer;
use super::publisher::{Pause, Publisher};
use super::{Latency, LoadResult, LoadSpec};
use crate::histogram::Histogram;

const NANOS: u64 = 1_000_000_000;
/// Sockets served in one turn; the others' turn comes next.
const EVENTS_MAX: usize = 256;
/// The timer's token; sockets have their place.
const TIMER: u64 = u64::MAX;
/// The longest sleep: how late an end of a phase may be seen.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// Without a limit on the backlog, what a publisher is allowed in one turn.
const TURN_MESSAGES_MAX: u64 = 100_000;

/// Nanoseconds of a clock.
fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * NANOS + time.tv_nsec as u64
}

fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

fn nanos_of(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// What was counted until some moment.
#[derive(Clone, Copy, Default)]
struct Mark {
    at: u64,
    cpu: u64,
    published: u64,
    confirmed: u64,
    received: u64,
    reads: u64,
    writes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measure,
    /// Nothing more is published.
    Drain,
}

struct Load<'a> {
    spec: &'a LoadSpec,
    consumers: Vec<Consumer>,
    publishers: Vec<Publisher>,
    epoll: rustix::fd::OwnedFd,
    scratch: Vec<u8>,
    phase: Phase,
    started: u64,
    phase_started: u64,
    confirmed: u64,
    confirm_latencies: Histogram,
    delivery_latencies: Histogram,
    begin: Mark,
    end: Mark,
}

/// Does what `spec` says. An error says what was refused, broke, was lost, came twice or out of
/// order. `interrupted` is asked a few times a second whether to give up.
pub fn run(spec: &LoadSpec, interrupted: &mut dyn FnMut() -> bool) -> Result<LoadResult, String> {
    check(spec)?;
    let mut load = Load::open(spec)?;
    load.work(interrupted)?;
    load.close()?;
    Ok(load.result())
}

fn check(spec: &LoadSpec) -> Result<(), String> {
    let bounded = spec.messages > 0 || spec.publishers == 0 || spec.duration_s > 0.0;
    let mistakes = [
        (
            spec.size < super::template::BODY_STAMPED,
            "a body has at least 16 bytes",
        ),
        (spec.routing_keys.is_empty(), "no routing key"),
        (
            spec.publishers == 0 && spec.queues.is_empty(),
            "nothing to do",
        ),
        (
            spec.publishers == 0 && spec.queued == 0,
            "nothing to receive",
        ),
        (spec.confirms && spec.window == 0, "a window of nothing"),
        (!bounded, "neither a duration nor a number of messages"),
        (
            !spec.rate.is_finite() || spec.rate < 0.0,
            "a rate that is none",
        ),
    ];
    match mistakes.iter().find(|(wrong, _)| *wrong) {
        Some((_, words)) => Err((*words).to_owned()),
        None => Ok(()),
    }
}

impl<'a> Load<'a> {
    fn open(spec: &'a LoadSpec) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
        let started = now();
        let mut load = Self {
            spec,
            consumers: Vec::new(),
            publishers: Vec::new(),
            epoll,
            scratch: Vec::new(),
            phase: Phase::WarmUp,
            started,
            phase_started: started,
            confirmed: 0,
            confirm_latencies: Histogram::new(),
            delivery_latencies: Histogram::new(),
            begin: Mark::default(),
            end: Mark::default(),
        };
        for producer in 0..spec.publishers {
            load.publishers.push(Publisher::open(spec, producer)?);
        }
        for queue in &spec.queues {
            load.consumers.push(Consumer::open(spec, queue)?);
        }
        load.register()?;
        Ok(load)
    }

    fn register(&mut self) -> Result<(), String> {
        let consumers = self
            .consumers
            .iter_mut()
            .map(|consumer| &mut consumer.socket);
        let publishers = self
            .publishers
            .iter_mut()
            .map(|publisher| &mut publisher.socket);
        for (place, socket) in consumers.chain(publishers).enumerate() {
            socket.set_blocking(false)?;
            let token = epoll::EventData::new_u64(place as u64);
            epoll::add(&self.epoll, socket.fd(), token, epoll::EventFlags::IN)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn work(&mut self, interrupted: &mut dyn FnMut() -> bool) -> Result<(), String> {
        let timer = self.timer()?;
        self.started = now();
        self.phase_started = self.started;
        for consumer in &mut self.consumers {
            consumer.receive_left(now(), &mut self.delivery_latencies)?;
        }
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let mut asked = self.started;
        loop {
            if self.advance_phase()? {
                return Ok(());
            }
            if now() - asked > NANOS / 4 {
                asked = now();
                if interrupted() {
                    return Err("interrupted".into());
                }
            }
            let sleep = if self.publish()? {
                Duration::ZERO
            } else {
                SLEEP_MAX
            };
            let sleep = Timespec::try_from(sleep).map_err(|error| error.to_string())?;
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, Some(&sleep)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.to_string()),
            }
            for event in &events {
                let place = event.data.u64();
                if place == TIMER {
                    let mut expirations = [0; 8];
                    if let Some(timer) = &timer {
                        let _ = rustix::io::read(timer, &mut expirations);
                    }
                } else if { event.flags } != epoll::EventFlags::OUT {
                    self.receive(place as usize)?;
                }
            }
        }
    }

    /// In open loop, a timer that fires when messages become due: a sleep in the epoll is only good to
    /// a millisecond.
    fn timer(&self) -> Result<Option<rustix::fd::OwnedFd>, String> {
        if self.spec.rate == 0.0 {
            return Ok(None);
        }
        let words = |error: rustix::io::Errno| error.to_string();
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).map_err(words)?;
        let interval = Duration::from_secs_f64(1.0 / self.spec.rate).max(Duration::from_micros(50));
        let interval = Timespec::try_from(interval).map_err(|error| error.to_string())?;
        let times = Itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).map_err(words)?;
        let token = epoll::EventData::new_u64(TIMER);
        epoll::add(&self.epoll, &timer, token, epoll::EventFlags::IN).map_err(words)?;
        Ok(Some(timer))
    }

    fn receive(&mut self, place: usize) -> Result<(), String> {
        if let Some(consumer) = self.consumers.get_mut(place) {
            return consumer.receive(&mut self.scratch, now, &mut self.delivery_latencies);
        }
        let publisher = &mut self.publishers[place - self.consumers.len()];
        self.confirmed += publisher.receive(&mut self.scratch, now, &mut self.confirm_latencies)?;
        Ok(())
    }

    /// Publishes what may be published. Says whether somebody has more to send at once.
    #[allow(clippy::cast_precision_loss)] // beyond 2^53 messages
    fn publish(&mut self) -> Result<bool, String> {
        let at = now();
        let allowed = self.allowed(at);
        let count = self.publishers.len() as u64;
        let (started, rate, queued) = (self.started, self.spec.rate, self.spec.queued);
        let limit = self.limit();
        let consumers = self.consumers.len();
        let mut more = false;
        for (producer, publisher) in self.publishers.iter_mut().enumerate() {
            let sent = publisher.sent();
            // Shares are rounded so that a small rate or backlog reaches every publisher in turn.
            let share = (allowed + count - 1 - producer as u64) / count;
            let allowed = share
                .min(limit)
                .saturating_sub(if rate > 0.0 { sent } else { 0 });
            let allowed = allowed.min(limit.saturating_sub(sent));
            let due = |sequence: u64| {
                if rate == 0.0 {
                    return at;
                }
                let place = (sequence - queued) * count + producer as u64;
                started + nanos_of(place as f64 / rate)
            };
            let pause = publisher.publish(allowed, at, due)?;
            more |= pause == Pause::Turn;
            let blocked = pause == Pause::Socket;
            if blocked != std::mem::replace(&mut publisher.awaits_writable, blocked) {
                let token = epoll::EventData::new_u64((consumers + producer) as u64);
                let mut interest = epoll::EventFlags::IN;
                interest.set(epoll::EventFlags::OUT, blocked);
                epoll::modify(&self.epoll, publisher.socket.fd(), token, interest)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(more)
    }

    /// Each publisher's last message, exclusive.
    fn limit(&self) -> u64 {
        match (self.phase, self.spec.messages) {
            (Phase::Drain, 0) => 0,
            (_, 0) => u64::MAX,
            (_, messages) => self.spec.queued + messages,
        }
    }

    /// In closed loop, how many more messages may be sent by all; in open loop, how many may have been
    /// sent in all.
    fn allowed(&self, at: u64) -> u64 {
        if self.spec.rate > 0.0 {
            return (seconds(at - self.started) * self.spec.rate) as u64 + 1;
        }
        if self.spec.backlog_max == 0 || self.consumers.is_empty() {
            return TURN_MESSAGES_MAX * self.publishers.len() as u64;
        }
        let sent: u64 = self.sent().iter().sum();
        let slowest = self.consumers.iter().map(|c| c.checker().reached()).min();
        let backlog = sent - slowest.unwrap_or(sent).min(sent);
        self.spec.backlog_max.saturating_sub(backlog)
    }

    fn mark(&self) -> Mark {
        let consumers = self.consumers.iter().map(|consumer| &consumer.socket);
        let publishers = self.publishers.iter().map(|publisher| &publisher.socket);
        let (mut reads, mut writes) = (0, 0);
        for socket in consumers.chain(publishers) {
            reads += socket.reads;
            writes += socket.writes;
        }
        Mark {
            at: now(),
            cpu: nanos(ClockId::ThreadCPUTime),
            published: self.publishers.iter().map(Publisher::sent).sum(),
            confirmed: self.confirmed,
            received: self.consumers.iter().map(|c| c.checker().received()).sum(),
            reads,
            writes,
        }
    }

    /// Goes on to the next phase when it is time. Says whether everything is done.
    fn advance_phase(&mut self) -> Result<bool, String> {
        let elapsed = now() - self.phase_started;
        let counted = self.spec.messages > 0 || self.spec.publishers == 0;
        match self.phase {
            Phase::WarmUp => {
                if counted || elapsed >= nanos_of(self.spec.warmup_s) {
                    self.begin = self.mark();
                    if !counted {
                        self.confirm_latencies = Histogram::new();
                        self.delivery_latencies = Histogram::new();
                    }
                    self.enter(Phase::Measure);
                }
            }
            Phase::Measure if counted => {
                let limit = self.limit();
                if self.publishers.iter().all(|p| p.sent() >= limit) {
                    self.enter(Phase::Drain);
                }
            }
            Phase::Measure => {
                if elapsed >= nanos_of(self.spec.duration_s) {
                    self.end = self.mark();
                    self.enter(Phase::Drain);
                }
            }
            Phase::Drain => {
                if self.is_drained() {
                    if counted {
                        self.end = self.mark();
                    }
                    return Ok(true);
                }
                if elapsed >= nanos_of(self.spec.drain_s) {
                    return Err(self.missing());
                }
            }
        }
        Ok(false)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_started = now();
    }

    /// What each producer has sent, here and in the run before.
    fn sent(&self) -> Vec<u64> {
        if self.publishers.is_empty() {
            return vec![self.spec.queued];
        }
        self.publishers.iter().map(Publisher::sent).collect()
    }

    fn is_drained(&self) -> bool {
        let idle = |p: &Publisher| p.is_flushed() && p.unconfirmed() == 0;
        let sent: u64 = self.sent().iter().sum();
        self.publishers.iter().all(idle)
            && self.consumers.iter().all(|c| c.checker().reached() >= sent)
    }

    fn missing(&self) -> String {
        let unconfirmed: u64 = self.publishers.iter().map(Publisher::unconfirmed).sum();
        let sent = self.sent();
        for (consumer, queue) in self.consumers.iter().zip(&self.spec.queues) {
            if let Err(words) = consumer.checker().verdict(&sent) {
                return format!("{queue}: {words}; {unconfirmed} unconfirmed");
            }
        }
        format!("{unconfirmed} messages never confirmed")
    }

    /// Closes everything and compares what was received, also at the very end, with what was sent.
    fn close(&mut self) -> Result<(), String> {
        let sent = self.sent();
        for publisher in std::mem::take(&mut self.publishers) {
            publisher.close(&mut self.scratch)?;
        }
        for (consumer, queue) in self.consumers.iter_mut().zip(&self.spec.queues) {
            consumer.close(&mut self.scratch)?;
            consumer
                .checker()
                .verdict(&sent)
                .map_err(|words| format!("{queue}: {words}"))?;
        }
        Ok(())
    }

    fn result(&self) -> LoadResult {
        let (begin, end) = (self.begin, self.end);
        let first = self.consumers.iter().filter_map(Consumer::first_at).min();
        LoadResult {
            seconds: seconds(end.at - begin.at),
            published: end.published - begin.published,
            confirmed: end.confirmed - begin.confirmed,
            received: end.received - begin.received,
            confirm_latency: Latency::of(&self.confirm_latencies),
            delivery_latency: Latency::of(&self.delivery_latencies),
            first_delivery_s: first.map_or(0.0, |at| seconds(at.saturating_sub(self.started))),
            cpu_seconds: seconds(end.cpu - begin.cpu),
            reads: end.reads - begin.reads,
            writes: end.writes - begin.writes,
            redelivered: self.consumers.iter().map(Consumer::redelivered).sum(),
        }
    }
}
