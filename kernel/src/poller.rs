//! Many sockets in rounds: one call receives and decodes for all that are ready, one sends for all.
//!
//! A task per connection costs 24 us a message where hundreds of connections have one in flight each;
//! a round costs one. Laws: what is received is decoded once and in order, whatever is paused, blocked
//! or hung up meanwhile; output leaves in order; the end of a connection is told once, after all its
//! frames; and a connection that has something to be done is never forgotten: epoll is level-triggered,
//! and what epoll doesn't know of (`pending`) makes the next round.
//!
//! Tokens are the owner's numbers; give each once. What the peer causes is never an error here.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::{Errno, Result};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{acceptfrom_with, SocketFlags};
use rustix::time::{clock_gettime, ClockId};

use crate::connection::{Connection, Reading};
use crate::counters::{Account, Counter, Counters};
use crate::decoder::{Frame, SharedDecoder};

/// What a round receives from one socket at most: one `recv` into a buffer that the L2 cache holds.
pub const READ_SIZE_MAX: usize = 256 << 10;
/// What a round receives in all, so that replies to the first don't wait for the last.
pub const ROUND_READ_SIZE_MAX: usize = 8 << 20;
const EVENT_COUNT_MAX: usize = 1024;

/// What a round has of one token.
#[derive(Debug)]
pub enum Received {
    /// Bytes came; these frames were completed, maybe none.
    Frames(Vec<Frame>),
    /// End of stream, or broken. Told once; the connection waits to be removed.
    End,
    /// A watched descriptor has become readable, or writable.
    Watched,
}

/// One piece of output.
pub enum Piece<'a> {
    Bytes(&'a [u8]),
    Shared(&'a Bytes),
}

struct Counts {
    rounds: Arc<Counter>,
    reads: Arc<Counter>,
    read_size: Arc<Counter>,
    writes: Arc<Counter>,
    written_size: Arc<Counter>,
    writes_cut_short: Arc<Counter>,
}

/// An epoll and the connections in it.
pub struct Poller {
    epoll: OwnedFd,
    connections: HashMap<i64, Connection>,
    /// Watched descriptor number n has token -1 - n.
    watched: BTreeMap<i64, OwnedFd>,
    watch_count: i64,
    /// Readable, but the last round had no room for them; they come first in the next, so that those
    /// behind in epoll's list get their turn however many are before them.
    deferred: VecDeque<i64>,
    scratch: Box<[u8]>,
    woken: Vec<i64>,
    broken: Vec<i64>,
    dirty: Vec<i64>,
    unblocked: Vec<(i64, usize)>,
    round: u64,
    input: Arc<Account>,
    output: Arc<Account>,
    counts: Counts,
}

impl Poller {
    /// Buffers are charged to `input` and `output`.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn new(counters: &Counters, input: Arc<Account>, output: Arc<Account>) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: HashMap::new(),
            watched: BTreeMap::new(),
            watch_count: 0,
            deferred: VecDeque::new(),
            scratch: vec![0; READ_SIZE_MAX].into_boxed_slice(),
            woken: Vec::new(),
            broken: Vec::new(),
            dirty: Vec::new(),
            unblocked: Vec::new(),
            round: 0,
            input,
            output,
            counts: Counts {
                rounds: counters.counter("poller_rounds"),
                reads: counters.counter("poller_reads"),
                read_size: counters.counter("poller_read_bytes"),
                writes: counters.counter("poller_writes"),
                written_size: counters.counter("poller_written_bytes"),
                writes_cut_short: counters.counter("poller_writes_cut_short"),
            },
        })
    }

    /// Readable when there is something for a round, but for what is [`Self::pending`].
    pub fn fileno(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Whether the next round has something to do that epoll doesn't know of.
    pub fn pending(&self) -> bool {
        !(self.woken.is_empty() && self.broken.is_empty() && self.deferred.is_empty())
    }

    pub fn add(&mut self, token: i64, fd: OwnedFd, decoder: SharedDecoder) -> Result<()> {
        assert!(
            token >= 0,
            "token {token}: negative ones are watched descriptors'"
        );
        let Entry::Vacant(place) = self.connections.entry(token) else {
            panic!("token {token} is in use");
        };
        let connection = Connection::new(fd, decoder);
        epoll::add(
            &self.epoll,
            &connection.fd,
            data_of(token),
            connection.interest,
        )?;
        place.insert(connection);
        Ok(())
    }

    /// Closes the connection, whatever is left to be written.
    pub fn remove(&mut self, token: i64) {
        let connection = self
            .connections
            .remove(&token)
            .expect("a token that was added");
        self.output.release(connection.output_size() as u64);
        self.input.release(connection.input_charged as u64);
        // Closing takes it out of the epoll: nobody else holds the descriptor.
    }

    /// Reports each change of `fd` to readable by the token that is returned, and with `writes` each to
    /// writable after it did not take all of a write. It may be an eventfd that nobody reads. Where the
    /// peer has hung up it is reported twice: who reads until there is less than it asked for needs a
    /// second look to see the end.
    pub fn watch(&mut self, fd: OwnedFd, writes: bool) -> Result<i64> {
        self.watch_count += 1;
        let token = -self.watch_count;
        let mut changes = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        changes.set(EventFlags::OUT, writes);
        epoll::add(&self.epoll, &fd, data_of(token), changes)?;
        self.watched.insert(token, fd);
        Ok(token)
    }

    /// Reports nothing more of it; it may still be among what is ready in this round.
    pub fn unwatch(&mut self, token: i64) {
        let fd = self
            .watched
            .remove(&token)
            .expect("a token that is watched");
        // Whoever watches has the descriptor too, so that closing ours leaves it in the epoll.
        epoll::delete(&self.epoll, &fd).expect("it was added");
    }

    /// The next connection that waits at a watched listener, and whom it is with.
    ///
    /// # Errors
    /// accept(2)'s: AGAIN where nobody waits.
    pub fn accept(&self, token: i64) -> Result<(OwnedFd, Option<SocketAddr>)> {
        let listener = &self.watched[&token];
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, address) = acceptfrom_with(listener, flags)?;
        // One that the peer has reset since is told by its first read.
        let _ = set_tcp_nodelay(&fd, true);
        Ok((fd, address.and_then(|address| address.try_into().ok())))
    }

    /// Queues output; it leaves with the next [`Self::flush`].
    pub fn send<'a>(&mut self, token: i64, pieces: impl Iterator<Item = Piece<'a>>) {
        let connection = connection_of(&mut self.connections, token);
        let Some(output) = connection.output() else {
            return;
        };
        let before = output.size();
        for piece in pieces {
            match piece {
                Piece::Bytes(data) => output.push(data),
                Piece::Shared(data) => output.push_shared(data),
            }
        }
        self.output.charge((output.size() - before) as u64);
        if before == 0 {
            self.dirty.push(token);
        }
    }

    /// Writes what was queued since the last flush, each socket once. Gives what is left of each that
    /// did not take all; [`Self::take_unblocked`] tells how those get on.
    pub fn flush(&mut self) -> Vec<(i64, usize)> {
        let mut left = Vec::new();
        for token in std::mem::take(&mut self.dirty) {
            if self.connections.contains_key(&token) {
                self.write(token);
                let size = self.connections[&token].output_size();
                if size > 0 {
                    left.push((token, size));
                }
            }
        }
        left
    }

    /// The sockets of which blocked output went out since this was last asked, and what is left of it.
    pub fn take_unblocked(&mut self) -> Vec<(i64, usize)> {
        // Asked now: the peer's end, later in the same round, leaves nothing to be written.
        let unblocked = std::mem::take(&mut self.unblocked).into_iter();
        let left = |(token, _)| Some((token, self.connections.get(&token)?.output_size()));
        unblocked.filter_map(left).collect()
    }

    /// Stops reading: what comes stays with the system, and so with the peer.
    pub fn pause(&mut self, token: i64) {
        connection_of(&mut self.connections, token).paused = true;
    }

    pub fn resume(&mut self, token: i64) {
        let connection = connection_of(&mut self.connections, token);
        connection.paused = false;
        look_for(&self.epoll, token, connection, connection.reads());
    }

    /// The decoder is to go on with what it holds: the next round begins with it.
    pub fn wake(&mut self, token: i64) {
        assert!(
            self.connections.contains_key(&token),
            "token {token} is unknown"
        );
        self.woken.push(token);
    }

    /// Lets the output go out and shuts our side; the end is told once the peer's side is shut too. The
    /// owner sets the time for that, and removes the token in any case.
    pub fn hang_up(&mut self, token: i64) {
        let connection = connection_of(&mut self.connections, token);
        connection.hang_up();
        look_for(&self.epoll, token, connection, true);
        self.write(token);
    }

    pub fn output_size(&self, token: i64) -> usize {
        self.connections[&token].output_size()
    }

    pub fn input_size(&self, token: i64) -> usize {
        self.connections[&token].decoder().buffered()
    }

    /// Those in the middle of a frame or message that has grown by less than `least` bytes since this
    /// was last asked.
    pub fn slow_inputs(&mut self, least: u64) -> Vec<i64> {
        let slow = self
            .connections
            .iter_mut()
            .filter_map(|(token, connection)| connection.is_slow(least).then_some(*token));
        slow.collect()
    }

    /// Receives and decodes for all sockets that are ready, and goes on with blocked writes.
    pub fn round(&mut self) -> Vec<(i64, Received)> {
        self.round += 1;
        self.counts.rounds.add(1);
        let mut received = Vec::new();
        for token in std::mem::take(&mut self.woken) {
            self.resume_decoder(token, &mut received);
        }
        for token in std::mem::take(&mut self.broken) {
            self.end(token, &mut received);
        }
        let mut budget = ROUND_READ_SIZE_MAX;
        while budget > 0 {
            let Some(token) = self.deferred.pop_front() else {
                break;
            };
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.deferred = false;
            }
            budget -= self.read(token, EventFlags::IN, budget, &mut received);
        }
        let mut events = [const { MaybeUninit::uninit() }; EVENT_COUNT_MAX];
        let ready: &[epoll::Event] = match epoll::wait(&self.epoll, &mut events, Some(&NO_TIME)) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => &[],
            Err(error) => panic!("epoll_wait: {error}"),
        };
        for event in ready {
            let (token, flags) = (event.data.u64() as i64, event.flags);
            if token < 0 {
                received.push((token, Received::Watched));
                if flags.contains(EventFlags::RDHUP) {
                    received.push((token, Received::Watched));
                }
                continue;
            }
            if flags.contains(EventFlags::OUT) {
                self.write_unblocked(token);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                budget -= self.read(token, flags, budget, &mut received);
            }
        }
        received
    }

    /// Waits for something to do at most `block_ns`, and then looks for `spin_ns` more without sleeping;
    /// says whether there is.
    pub fn wait(&self, block_ns: u64, spin_ns: u64) -> bool {
        if self.pending() || self.ready_within(block_ns) {
            return true;
        }
        if spin_ns == 0 {
            return false;
        }
        let end = monotonic_ns() + spin_ns;
        loop {
            if self.ready_within(0) {
                return true;
            }
            if monotonic_ns() >= end {
                return false;
            }
            // A look costs a system call of 0.3 us; the pause leaves the sibling thread its share.
            for _ in 0..20 {
                std::hint::spin_loop();
            }
        }
    }

    fn ready_within(&self, timeout_ns: u64) -> bool {
        let timeout = Timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        let mut fds = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(count) => count > 0,
            Err(Errno::INTR) => false,
            Err(error) => panic!("poll: {error}"),
        }
    }

    fn resume_decoder(&mut self, token: i64, received: &mut Vec<(i64, Received)>) {
        let Some(connection) = open_connection(&mut self.connections, token) else {
            return;
        };
        let frames = connection.resume_decoder();
        charge_input(&self.input, connection);
        look_for(&self.epoll, token, connection, connection.reads());
        if !frames.is_empty() {
            received.push((token, Received::Frames(frames)));
        }
    }

    /// Reads a socket that epoll has `flags` of, if it still wants that; says how many bytes of the
    /// round's `budget` it took.
    fn read(
        &mut self,
        token: i64,
        flags: EventFlags,
        budget: usize,
        received: &mut Vec<(i64, Received)>,
    ) -> usize {
        let round = self.round;
        let Some(connection) = open_connection(&mut self.connections, token) else {
            return 0;
        };
        if connection.round_read == round || connection.deferred {
            return 0;
        }
        if !connection.reads() {
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                // Both sides are shut, or it is broken: epoll would report that without end.
                self.end(token, received);
            } else {
                look_for(&self.epoll, token, connection, false);
            }
            return 0;
        }
        if budget == 0 {
            connection.deferred = true;
            self.deferred.push_back(token);
            return 0;
        }
        connection.round_read = round;
        let size = budget.min(READ_SIZE_MAX);
        let taken = match connection.read(&mut self.scratch[..size]) {
            Reading::Nothing => return 0,
            Reading::End => {
                self.end(token, received);
                return 0;
            }
            Reading::Discarded(size) => size,
            Reading::Frames(size, frames) => {
                charge_input(&self.input, connection);
                received.push((token, Received::Frames(frames)));
                size
            }
        };
        self.counts.reads.add(1);
        self.counts.read_size.add(taken as u64);
        taken
    }

    fn write_unblocked(&mut self, token: i64) {
        if open_connection(&mut self.connections, token).is_some() {
            let written = self.write(token);
            if written > 0 {
                self.unblocked
                    .push((token, self.connections[&token].output_size()));
            }
        }
    }

    /// Writes what the socket takes; a broken one is told of in the next round.
    fn write(&mut self, token: i64) -> usize {
        let connection = connection_of(&mut self.connections, token);
        if connection.ended() {
            return 0;
        }
        let before = connection.output_size();
        let result = connection.write();
        let after = connection.output_size();
        self.output.release((before - after) as u64);
        self.counts.writes.add(1);
        let Ok(written) = result else {
            self.broken.push(token);
            return 0;
        };
        self.counts.written_size.add(written as u64);
        self.counts.writes_cut_short.add(u64::from(after > 0));
        let reads = connection.interest.contains(EventFlags::IN);
        look_for(&self.epoll, token, connection, reads);
        written
    }

    fn end(&mut self, token: i64, received: &mut Vec<(i64, Received)>) {
        let Some(connection) = open_connection(&mut self.connections, token) else {
            return;
        };
        self.output.release(connection.output_size() as u64);
        connection.end();
        // Only so that a broken socket isn't reported in every round until it is removed.
        epoll::delete(&self.epoll, &connection.fd).expect("it was added");
        received.push((token, Received::End));
    }
}

const NO_TIME: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn data_of(token: i64) -> EventData {
    EventData::new_u64(token as u64)
}

fn connection_of(connections: &mut HashMap<i64, Connection>, token: i64) -> &mut Connection {
    connections
        .get_mut(&token)
        .unwrap_or_else(|| panic!("token {token} is unknown"))
}

fn charge_input(input: &Account, connection: &mut Connection) {
    let buffered = connection.decoder().buffered();
    input.recharge(connection.input_charged, buffered);
    connection.input_charged = buffered;
}

fn open_connection(
    connections: &mut HashMap<i64, Connection>,
    token: i64,
) -> Option<&mut Connection> {
    connections
        .get_mut(&token)
        .filter(|connection| !connection.ended())
}

/// Tells epoll what the connection waits for now, if that has changed. Reading is only taken out once
/// there is input that isn't wanted, so that a pause nobody notices costs no call.
fn look_for(epoll: &OwnedFd, token: i64, connection: &mut Connection, input: bool) {
    if connection.ended() {
        return;
    }
    let mut wanted = EventFlags::empty();
    wanted.set(EventFlags::IN, input);
    wanted.set(EventFlags::OUT, connection.output_size() > 0);
    if wanted != connection.interest {
        connection.interest = wanted;
        epoll::modify(epoll, &connection.fd, data_of(token), wanted).expect("it was added");
    }
}

#[cfg(test)]
mod tests;
