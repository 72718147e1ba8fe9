//! Retained messages looked up one by one while another subscriber reads all of them.
//!
//! Lookups are due at a rate whatever the broker does, and latency counts from when one was due: a
//! broker that serves the other subscriber first is not asked less meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::Timespec;

use super::{client_id, connect, wire};
use crate::generator::checker::stamp_of;
use crate::generator::clock::{self, nanos_of, now, seconds, NANOS};
use crate::generator::socket::Socket;
use crate::generator::Latency;
use crate::histogram::Histogram;

const SWEEPER: u64 = 0;
const LOOKER: u64 = 1;
const TIMER: u64 = 2;
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// What is to be done. Times in seconds, sizes in bytes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct LookUpSpec {
    pub host: String,
    pub port: u16,
    /// All retained topics there are. The message of topic n is message n of producer 0, as a load
    /// with these routing keys left them.
    pub topics: Vec<String>,
    pub size: usize,
    /// Of that load.
    pub nonce: u32,
    /// Lookups a second.
    pub rate: f64,
    /// Lookups go on at least so long, and until all messages were read once.
    pub duration_s: f64,
    /// How long after that the last answer may come, and how long the first reading of all may take.
    pub drain_s: f64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "python", derive(pyo3::IntoPyObject))]
pub struct LookUpResult {
    pub seconds: f64,
    /// From when a lookup was due to its message.
    pub latency: Latency,
    /// How many times all messages were read meanwhile.
    pub sweeps: u64,
}

/// Reads all of them, again and again.
struct Sweep {
    nonce: u32,
    size: usize,
    /// By topic, whether its message came in this sweep.
    seen: Vec<bool>,
    count: usize,
    sweeps: u64,
    /// Subscribed; the other time it waits for the UNSUBACK, or has stopped.
    reading: bool,
}

impl Sweep {
    fn new(spec: &LookUpSpec) -> Self {
        Self {
            nonce: spec.nonce,
            size: spec.size,
            seen: vec![false; spec.topics.len()],
            count: 0,
            sweeps: 0,
            reading: false,
        }
    }

    fn begin(&mut self, answers: &mut Vec<u8>) {
        self.seen.fill(false);
        self.count = 0;
        self.reading = true;
        wire::subscribe(answers, super::SUBSCRIPTION_ID, "#", 0);
    }

    /// Takes whole packets; gives how many bytes they were. Begins anew after the last one `again`.
    fn take(&mut self, bytes: &[u8], again: bool, answers: &mut Vec<u8>) -> Result<usize, String> {
        let mut position = 0;
        while let Some(packet) = wire::split(&bytes[position..])? {
            position += packet.size;
            match packet.kind() {
                wire::PUBLISH => {
                    let topic = retained_topic(&packet, self.nonce, self.size, self.seen.len())?;
                    if !self.reading || std::mem::replace(&mut self.seen[topic], true) {
                        return Err(format!("retained message {topic} came twice"));
                    }
                    self.count += 1;
                    if self.count == self.seen.len() {
                        self.reading = false;
                        wire::unsubscribe(answers, super::SUBSCRIPTION_ID, "#");
                    }
                }
                wire::SUBACK => check_granted(&packet)?,
                wire::UNSUBACK => {
                    self.sweeps += 1;
                    if again {
                        self.begin(answers);
                    }
                }
                kind => return Err(format!("the reader of all was sent packet {kind:#04x}")),
            }
        }
        Ok(position)
    }
}

/// Looks up one after another.
struct Looker {
    nonce: u32,
    size: usize,
    topics: Vec<String>,
    /// Topics that were asked for and are not here yet, and when they were due.
    due: HashMap<usize, u64>,
    next_id: u16,
    /// Of a linear congruential generator, which chooses topics.
    state: u64,
    latencies: Histogram,
}

impl Looker {
    fn new(spec: &LookUpSpec) -> Self {
        Self {
            nonce: spec.nonce,
            size: spec.size,
            topics: spec.topics.clone(),
            due: HashMap::new(),
            next_id: 0,
            state: u64::from(spec.nonce),
            latencies: Histogram::new(),
        }
    }

    fn id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1).max(1);
        self.next_id
    }

    /// Asks for a topic that is not being asked for.
    fn ask(&mut self, due: u64, output: &mut Vec<u8>) {
        if self.due.len() == self.topics.len() {
            return;
        }
        loop {
            // The constants of MMIX.
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let topic = (self.state >> 33) as usize % self.topics.len();
            if let std::collections::hash_map::Entry::Vacant(place) = self.due.entry(topic) {
                place.insert(due);
                let id = self.id();
                wire::subscribe(output, id, &self.topics[topic], 0);
                return;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], now: u64, answers: &mut Vec<u8>) -> Result<usize, String> {
        let mut position = 0;
        while let Some(packet) = wire::split(&bytes[position..])? {
            position += packet.size;
            match packet.kind() {
                wire::PUBLISH => {
                    let count = self.topics.len();
                    let topic = retained_topic(&packet, self.nonce, self.size, count)?;
                    let due = self.due.remove(&topic).ok_or_else(|| {
                        format!("retained message {topic}, which nobody asked for")
                    })?;
                    self.latencies.record(now.saturating_sub(due), 1);
                    let id = self.id();
                    wire::unsubscribe(answers, id, &self.topics[topic]);
                }
                wire::SUBACK => check_granted(&packet)?,
                wire::UNSUBACK => {}
                kind => return Err(format!("the looker was sent packet {kind:#04x}")),
            }
        }
        Ok(position)
    }
}

/// Which topic's message it is.
fn retained_topic(
    packet: &wire::Packet,
    nonce: u32,
    size: usize,
    count: usize,
) -> Result<usize, String> {
    let publish = packet.publish()?;
    if !publish.retain || publish.payload.len() != size {
        return Err("a message that was not retained here".into());
    }
    match stamp_of(publish.payload) {
        Some((sequence, 0, run)) if run == nonce && sequence < count as u64 => {
            Ok(sequence as usize)
        }
        stamp => Err(format!("a retained message from nowhere: {stamp:?}")),
    }
}

fn check_granted(packet: &wire::Packet) -> Result<(), String> {
    match packet.body {
        [_, _, 0] => Ok(()),
        body => Err(format!("a subscription was answered with {body:?}")),
    }
}

/// Does what `spec` says. An error says what was refused, lost, or came twice. `interrupted` is asked a
/// few times a second whether to give up.
pub fn look_up(
    spec: &LookUpSpec,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<LookUpResult, String> {
    if spec.topics.is_empty() || !spec.rate.is_finite() || spec.rate <= 0.0 {
        return Err("nothing to look up, or at no rate".into());
    }
    let open = |role| {
        let socket = Socket::connect(&spec.host, spec.port)?;
        connect(socket, &client_id(spec.nonce, role, 0), true)
    };
    let (mut sweeper, mut looker) = (open('a')?, open('l')?);
    let timer = clock::timer(spec.rate)?;
    let words = |error: rustix::io::Errno| error.to_string();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(words)?;
    for (fd, token) in [(sweeper.fd(), SWEEPER), (looker.fd(), LOOKER)] {
        let token = epoll::EventData::new_u64(token);
        epoll::add(&epoll, fd, token, epoll::EventFlags::IN).map_err(words)?;
    }
    let token = epoll::EventData::new_u64(TIMER);
    epoll::add(&epoll, &timer, token, epoll::EventFlags::IN).map_err(words)?;
    sweeper.set_blocking(false)?;
    looker.set_blocking(false)?;
    let mut sweep = Sweep::new(spec);
    let mut asked = Looker::new(spec);
    sweep.begin(sweeper.output());
    let started = now();
    let mut pace = Pace::new(spec, started);
    let mut scratch = Vec::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(4);
    while pace.go_on(now(), &sweep, &asked, interrupted)? {
        pace.ask(&mut asked, looker.output());
        sweeper.flush()?;
        looker.flush()?;
        let sleep = Timespec::try_from(SLEEP_MAX).map_err(|error| error.to_string())?;
        events.clear();
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&epoll, spare, Some(&sleep)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        for event in &events {
            match event.data.u64() {
                SWEEPER => sweeper.receive(&mut scratch, |bytes, answers| {
                    sweep.take(bytes, pace.asking, answers)
                })?,
                LOOKER => looker.receive(&mut scratch, |bytes, answers| {
                    asked.take(bytes, now(), answers)
                })?,
                _ => {
                    let _ = rustix::io::read(&timer, &mut [0; 8]);
                }
            }
        }
    }
    hang_up([sweeper, looker]);
    Ok(LookUpResult {
        seconds: seconds(now() - started),
        latency: Latency::of(&asked.latencies),
        sweeps: sweep.sweeps,
    })
}

fn hang_up(sockets: [Socket; 2]) {
    for mut socket in sockets {
        wire::bare(socket.output(), wire::DISCONNECT);
        socket.hang_up();
    }
}

/// When lookups are due, and when all is done.
struct Pace {
    started: u64,
    rate: f64,
    duration: u64,
    drain: u64,
    asked: u64,
    /// Lookups go on.
    asking: bool,
    ended: u64,
    interruption_asked: u64,
}

impl Pace {
    fn new(spec: &LookUpSpec, started: u64) -> Self {
        Self {
            started,
            rate: spec.rate,
            duration: nanos_of(spec.duration_s),
            drain: nanos_of(spec.drain_s),
            asked: 0,
            asking: true,
            ended: started,
            interruption_asked: started,
        }
    }

    /// Whether something is still to be done.
    fn go_on(
        &mut self,
        now: u64,
        sweep: &Sweep,
        looker: &Looker,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<bool, String> {
        if now - self.interruption_asked > NANOS / 4 {
            self.interruption_asked = now;
            if interrupted() {
                return Err("interrupted".into());
            }
        }
        if self.asking {
            if now - self.started >= self.duration && sweep.sweeps > 0 {
                self.asking = false;
                self.ended = now;
            } else if now - self.started >= self.duration + self.drain {
                return Err(format!(
                    "{} of {} retained messages lost",
                    sweep.seen.len() - sweep.count,
                    sweep.seen.len()
                ));
            }
            return Ok(true);
        }
        if !sweep.reading && looker.due.is_empty() {
            return Ok(false);
        }
        if now - self.ended >= self.drain {
            return Err(format!(
                "{} lookups never answered, {} retained messages lost",
                looker.due.len(),
                if sweep.reading {
                    sweep.seen.len() - sweep.count
                } else {
                    0
                }
            ));
        }
        Ok(true)
    }

    /// Asks for what is due.
    #[allow(clippy::cast_precision_loss)] // beyond 2^53 lookups
    fn ask(&mut self, looker: &mut Looker, output: &mut Vec<u8>) {
        while self.asking {
            let due = self.started + nanos_of(self.asked as f64 / self.rate);
            if due > now() {
                return;
            }
            looker.ask(due, output);
            self.asked += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> LookUpSpec {
        LookUpSpec {
            host: String::new(),
            port: 0,
            topics: vec!["a".into(), "b".into()],
            size: 16,
            nonce: 9,
            rate: 1.0,
            duration_s: 1.0,
            drain_s: 1.0,
        }
    }

    fn retained(bytes: &mut Vec<u8>, topic: &str, sequence: u64) {
        wire::publish(bytes, topic, 16, 0, true);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
    }

    #[test]
    fn a_sweep_sees_every_message_once_however_cut_and_begins_anew() {
        let mut bytes = b"\x90\x03\0\x01\0".to_vec();
        retained(&mut bytes, "b", 1);
        retained(&mut bytes, "a", 0);
        bytes.extend_from_slice(b"\xb0\x02\0\x01");
        for cut in 0..bytes.len() {
            let mut sweep = Sweep::new(&spec());
            let mut said = Vec::new();
            sweep.begin(&mut said);
            let taken = sweep.take(&bytes[..cut], true, &mut said).unwrap();
            sweep.take(&bytes[taken..], true, &mut said).unwrap();
            assert_eq!((sweep.sweeps, sweep.count, sweep.reading), (1, 0, true));
            let mut expected = Vec::new();
            wire::subscribe(&mut expected, 1, "#", 0);
            wire::unsubscribe(&mut expected, 1, "#");
            wire::subscribe(&mut expected, 1, "#", 0);
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_sweep_is_told_of_repeats_and_strangers() {
        let mut twice = Vec::new();
        retained(&mut twice, "a", 0);
        retained(&mut twice, "a", 0);
        let mut stranger = Vec::new();
        retained(&mut stranger, "c", 2);
        let mut live = Vec::new();
        retained(&mut live, "a", 0);
        live[0] &= !1;
        for bytes in [twice, stranger, live, b"\x90\x03\0\x01\x80".to_vec()] {
            let mut sweep = Sweep::new(&spec());
            sweep.begin(&mut Vec::new());
            assert!(sweep.take(&bytes, false, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn a_lookup_counts_from_when_it_was_due() {
        let mut looker = Looker::new(&spec());
        let mut said = Vec::new();
        for due in [100, 200, 300] {
            looker.ask(due, &mut said); // the third finds both topics asked for
        }
        assert_eq!(looker.due.len(), 2);
        let mut bytes = Vec::new();
        retained(&mut bytes, "a", 0);
        retained(&mut bytes, "b", 1);
        said.clear();
        assert_eq!(looker.take(&bytes, 500, &mut said), Ok(bytes.len()));
        let latencies = &looker.latencies;
        assert_eq!((latencies.count(), latencies.min()), (2, 300));
        let mut unsubscribed = Vec::new();
        wire::unsubscribe(&mut unsubscribed, 3, "a");
        wire::unsubscribe(&mut unsubscribed, 4, "b");
        assert_eq!(said, unsubscribed);
        let told = looker.take(&bytes, 500, &mut said);
        assert!(told.unwrap_err().contains("nobody asked"));
    }

    #[test]
    fn lookups_are_due_at_their_rate_until_all_was_read_once() {
        let spec = LookUpSpec {
            rate: 1e9,
            ..spec()
        };
        let mut sweep = Sweep::new(&spec);
        let looker = Looker::new(&spec);
        let mut pace = Pace::new(&spec, 0);
        let never = &mut || false;
        assert_eq!(pace.go_on(NANOS, &sweep, &looker, never), Ok(true));
        assert!(pace.asking);
        let told = pace.go_on(2 * NANOS, &sweep, &looker, never);
        assert!(told
            .unwrap_err()
            .starts_with("2 of 2 retained messages lost"));
        sweep.sweeps = 1;
        assert_eq!(pace.go_on(2 * NANOS, &sweep, &looker, never), Ok(true));
        assert!(!pace.asking);
        assert_eq!(pace.go_on(2 * NANOS, &sweep, &looker, never), Ok(false));
    }
}
