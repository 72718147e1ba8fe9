//! A run: open everything, warm up, measure, let everything arrive, compare, close.

use std::time::Duration;

use rustix::event::epoll;
use rustix::time::Timespec;

use super::audience::Audience;
use super::clock::{self, cpu, nanos_of, now, seconds, NANOS};
use super::consumer::Consumer;
use super::process;
use super::publisher::{Pause, Publisher};
use super::{Latency, LoadResult, LoadSpec, Pattern};
use crate::histogram::Histogram;

/// Sockets served in one turn; the others' turn comes next.
const EVENTS_MAX: usize = 256;
/// The timer's token; sockets have their place.
const TIMER: u64 = u64::MAX;
/// The longest sleep: how late an end of a phase may be seen.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// Without a limit on the backlog, what a publisher is allowed in one turn.
const TURN_MESSAGES_MAX: u64 = 100_000;

/// What was counted until some moment.
#[derive(Clone, Copy, Default)]
struct Mark {
    at: u64,
    cpu: u64,
    broker_cpu: u64,
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
    audience: Audience,
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
    /// Of the consumers, once they are closed.
    redelivered: u64,
    first_at: Option<u64>,
}

/// What publishers may send now.
#[derive(Clone, Copy)]
enum Allowed {
    /// So many, over all of them.
    Together(u64),
    /// As many as their own consumer lags behind less than it may.
    Each,
}

/// Asks the epoll for what a socket is ready for.
fn watch(
    epoll: &rustix::fd::OwnedFd,
    socket: rustix::fd::BorrowedFd<'_>,
    place: usize,
    blocked: bool,
) -> Result<(), String> {
    let mut interest = epoll::EventFlags::IN;
    interest.set(epoll::EventFlags::OUT, blocked);
    let token = epoll::EventData::new_u64(place as u64);
    epoll::modify(epoll, socket, token, interest).map_err(|error| error.to_string())
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

/// Messages of a publisher that may be unconfirmed or not delivered at once.
fn held(spec: &LoadSpec) -> u64 {
    let confirmed = spec.publishing.protocol.is_confirmed();
    let window = if confirmed { spec.window } else { u64::MAX };
    match spec.backlog_max {
        0 => window,
        backlog_max => window.min(backlog_max),
    }
}

fn check(spec: &LoadSpec) -> Result<(), String> {
    let bounded = spec.messages > 0 || spec.publishers == 0 || spec.duration_s > 0.0;
    let sides = [&spec.publishing, &spec.consuming];
    let together = spec.publishing.together();
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
        (
            spec.publishing.protocol.is_confirmed() && spec.rate == 0.0 && spec.window == 0,
            "a window of nothing",
        ),
        (
            spec.window > spec.publishing.protocol.unconfirmed_max() / 2,
            "a window of more than the protocol can name",
        ),
        (
            sides.iter().any(|side| side.protocol.qos() > 2),
            "a QoS that there is none of",
        ),
        (
            spec.pattern == Pattern::Pairs
                && [spec.routing_keys.len(), spec.queues.len()] != [spec.publishers as usize; 2],
            "pairs need as many routing keys and queues as publishers",
        ),
        (
            sides.iter().any(|side| side.together() == 0),
            "a WebSocket message of nothing",
        ),
        (
            spec.is_for_a_time() && together > 1 && together > held(spec),
            "more in a WebSocket message than may be on its way",
        ),
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
            audience: Audience::new(spec),
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
            redelivered: 0,
            first_at: None,
        };
        for producer in 0..spec.publishers {
            load.publishers.push(Publisher::open(spec, producer)?);
        }
        for place in 0..spec.queues.len() {
            load.consumers.push(Consumer::open(spec, place)?);
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
        for (place, consumer) in self.consumers.iter_mut().enumerate() {
            let checker = self.audience.checker(place);
            consumer.receive_left(now(), checker, &mut self.delivery_latencies)?;
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
                } else if { event.flags } != epoll::EventFlags::OUT
                    || (place as usize) < self.consumers.len()
                {
                    self.receive(place as usize)?;
                }
            }
        }
    }

    /// In open loop, a timer that fires when messages become due.
    fn timer(&self) -> Result<Option<rustix::fd::OwnedFd>, String> {
        if self.spec.rate == 0.0 {
            return Ok(None);
        }
        let timer = clock::timer(self.spec.rate)?;
        let token = epoll::EventData::new_u64(TIMER);
        epoll::add(&self.epoll, &timer, token, epoll::EventFlags::IN)
            .map_err(|error| error.to_string())?;
        Ok(Some(timer))
    }

    /// Reads what came at a place, and writes what it is answered with.
    fn receive(&mut self, place: usize) -> Result<(), String> {
        if let Some(consumer) = self.consumers.get_mut(place) {
            let checker = self.audience.checker(place);
            let latencies = &mut self.delivery_latencies;
            let written = consumer.receive(&mut self.scratch, now, checker, latencies)?;
            if written == std::mem::replace(&mut consumer.awaits_writable, !written) {
                watch(&self.epoll, consumer.socket.fd(), place, !written)?;
            }
            return Ok(());
        }
        let publisher = &mut self.publishers[place - self.consumers.len()];
        self.confirmed += publisher.receive(&mut self.scratch, now, &mut self.confirm_latencies)?;
        Ok(())
    }

    /// Publishes what may be published. Says whether somebody has more to send at once.
    #[allow(clippy::cast_precision_loss)] // beyond 2^53 messages
    fn publish(&mut self) -> Result<bool, String> {
        let at = now();
        let sent = self.sent();
        let allowed = self.allowed(at, &sent);
        let count = self.publishers.len() as u64;
        let (started, rate, queued) = (self.started, self.spec.rate, self.spec.queued);
        let limit = self.limit();
        let consumers = self.consumers.len();
        let mut more = false;
        for (producer, publisher) in self.publishers.iter_mut().enumerate() {
            let sent = sent[producer];
            // Shares are rounded so that a small rate or backlog reaches every publisher in turn.
            let share = match allowed {
                Allowed::Together(messages) => (messages + count - 1 - producer as u64) / count,
                Allowed::Each => self.audience.room_of(producer, sent),
            };
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
                let place = consumers + producer;
                watch(&self.epoll, publisher.socket.fd(), place, blocked)?;
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
    fn allowed(&self, at: u64, sent: &[u64]) -> Allowed {
        if self.spec.rate > 0.0 {
            let due = seconds(at - self.started) * self.spec.rate;
            return Allowed::Together(due as u64 + 1);
        }
        if self.spec.backlog_max == 0 || self.consumers.is_empty() {
            return Allowed::Together(TURN_MESSAGES_MAX * self.publishers.len() as u64);
        }
        match self.spec.pattern {
            Pattern::Pairs => Allowed::Each,
            Pattern::Everyone | Pattern::Group => Allowed::Together(self.audience.room(sent)),
        }
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
            cpu: cpu(),
            broker_cpu: process::cpu(&self.spec.broker_pids),
            published: self.publishers.iter().map(Publisher::sent).sum(),
            confirmed: self.confirmed,
            received: self.audience.received(),
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
        self.publishers.iter().all(idle) && self.audience.has_all(&self.sent())
    }

    fn missing(&self) -> String {
        let unconfirmed: u64 = self.publishers.iter().map(Publisher::unconfirmed).sum();
        match self.audience.verdict(&self.sent()) {
            Err(words) => format!("{words}; {unconfirmed} unconfirmed"),
            Ok(()) => format!("{unconfirmed} messages never confirmed"),
        }
    }

    /// Closes everything and compares what was received, also at the very end, with what was sent.
    fn close(&mut self) -> Result<(), String> {
        let sent = self.sent();
        self.redelivered = self.consumers.iter().map(Consumer::redelivered).sum();
        self.first_at = self.consumers.iter().filter_map(Consumer::first_at).min();
        for publisher in std::mem::take(&mut self.publishers) {
            publisher.close(self.spec, &mut self.scratch)?;
        }
        for (place, consumer) in std::mem::take(&mut self.consumers).into_iter().enumerate() {
            let checker = self.audience.checker(place);
            consumer.close(self.spec, &mut self.scratch, checker)?;
        }
        self.audience.verdict(&sent)
    }

    fn result(&self) -> LoadResult {
        let (begin, end) = (self.begin, self.end);
        LoadResult {
            seconds: seconds(end.at - begin.at),
            published: end.published - begin.published,
            confirmed: end.confirmed - begin.confirmed,
            received: end.received - begin.received,
            confirm_latency: Latency::of(&self.confirm_latencies),
            delivery_latency: Latency::of(&self.delivery_latencies),
            first_delivery_s: self
                .first_at
                .map_or(0.0, |at| seconds(at.saturating_sub(self.started))),
            cpu_seconds: seconds(end.cpu - begin.cpu),
            broker_cpu_seconds: seconds(end.broker_cpu.saturating_sub(begin.broker_cpu)),
            reads: end.reads - begin.reads,
            writes: end.writes - begin.writes,
            redelivered: self.redelivered,
        }
    }
}
