use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use rustix::event::{eventfd, EventfdFlags};

use super::*;
use crate::decoder::{Decoder, SettleKind};

/// A frame per byte; stops after each `S`.
#[derive(Default)]
struct Bytewise {
    held: VecDeque<u8>,
    stopped: bool,
}

impl Decoder for Bytewise {
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>) {
        self.held.extend(data);
        if !self.stopped {
            self.resume(frames);
        }
    }

    fn resume(&mut self, frames: &mut Vec<Frame>) {
        self.stopped = false;
        while let Some(byte) = self.held.pop_front() {
            frames.push(Frame::ProtocolHeader { bytes: [byte; 8] });
            if byte == b'S' {
                self.stopped = true;
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stopped
    }

    fn buffered(&self) -> usize {
        self.held.len()
    }
}

/// Never has enough.
struct Unfinished(usize);

impl Decoder for Unfinished {
    fn receive(&mut self, data: &[u8], _: &mut Vec<Frame>) {
        self.0 += data.len();
    }

    fn resume(&mut self, _: &mut Vec<Frame>) {}

    fn stopped(&self) -> bool {
        false
    }

    fn buffered(&self) -> usize {
        self.0
    }
}

/// A frame per read: how much it was.
struct Sizes;

impl Decoder for Sizes {
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>) {
        frames.push(Frame::Settlement {
            channel: 0,
            first: 0,
            last: data.len() as u64,
            kind: SettleKind::Ack,
        });
    }

    fn resume(&mut self, _: &mut Vec<Frame>) {}

    fn stopped(&self) -> bool {
        false
    }

    fn buffered(&self) -> usize {
        0
    }
}

fn size_of(received: &Received) -> usize {
    match received {
        Received::Frames(frames) => match frames[..] {
            [Frame::Settlement { last, .. }] => last as usize,
            _ => panic!("{frames:?}"),
        },
        _ => panic!("{received:?}"),
    }
}

struct World {
    poller: Poller,
    input: Arc<Account>,
    output: Arc<Account>,
}

impl World {
    fn new() -> Self {
        let input = Arc::new(Account::new("input", 1 << 20));
        let output = Arc::new(Account::new("output", 1 << 20));
        let poller = Poller::new(&Counters::new(), input.clone(), output.clone()).unwrap();
        World {
            poller,
            input,
            output,
        }
    }

    fn connect(&mut self, token: i64) -> UnixStream {
        self.connect_with(token, Arc::new(Mutex::new(Bytewise::default())))
    }

    fn connect_with(&mut self, token: i64, decoder: SharedDecoder) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.poller.add(token, ours.into(), decoder).unwrap();
        theirs
    }

    /// A round as text: `1:ab` what was decoded, `1.` its end, `-1` a watched descriptor.
    fn round(&mut self) -> String {
        let received = self.poller.round();
        let words = received.iter().map(|(token, received)| match received {
            Received::End => format!("{token}."),
            Received::Watched => token.to_string(),
            Received::Frames(frames) => {
                let letters = frames.iter().map(|frame| match frame {
                    Frame::ProtocolHeader { bytes } => bytes[0] as char,
                    other => panic!("{other:?}"),
                });
                format!("{token}:{}", letters.collect::<String>())
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut data = Vec::new();
    let _ = stream.read_to_end(&mut data);
    data
}

#[test]
fn a_round_has_everybody_s_frames_and_the_end_comes_once() {
    let mut world = World::new();
    let (mut one, mut two) = (world.connect(1), world.connect(2));
    assert_eq!(world.round(), "");
    one.write_all(b"ab").unwrap();
    two.write_all(b"c").unwrap();
    assert_eq!(world.round(), "1:ab 2:c");
    one.write_all(b"d").unwrap();
    drop(one);
    assert_eq!(world.round(), "1:d");
    assert_eq!(world.round(), "1.");
    assert_eq!(world.round(), "");
    world.poller.remove(1);
}

#[test]
fn a_stopped_decoder_is_not_read_for_until_it_is_woken() {
    let mut world = World::new();
    let mut peer = world.connect(1);
    peer.write_all(b"aSbc").unwrap();
    assert_eq!(world.round(), "1:aS");
    assert_eq!(world.input.charged(), 2);
    peer.write_all(b"d").unwrap();
    assert_eq!(world.round(), "");
    assert!(
        !world.poller.wait(0, 0),
        "what isn't wanted doesn't make rounds"
    );
    world.poller.wake(1);
    assert!(world.poller.pending());
    assert_eq!(world.round(), "1:bc 1:d");
    assert_eq!(world.input.charged(), 0);
}

#[test]
fn a_pause_leaves_input_with_the_system_and_the_end_is_still_told() {
    let mut world = World::new();
    let mut peer = world.connect(1);
    world.poller.pause(1);
    peer.write_all(b"ab").unwrap();
    assert_eq!(world.round(), "");
    assert!(!world.poller.wait(0, 0));
    world.poller.resume(1);
    assert_eq!(world.round(), "1:ab");
    world.poller.pause(1);
    drop(peer);
    assert_eq!(world.round(), "1.");
}

#[test]
fn output_leaves_at_the_flush_and_blocked_output_goes_on_by_itself() {
    let mut world = World::new();
    let mut peer = world.connect(1);
    let big = Bytes::from(vec![b'x'; 4 << 20]);
    world
        .poller
        .send(1, [Piece::Bytes(b"head"), Piece::Shared(&big)].into_iter());
    assert!(read_all(&mut peer).is_empty());
    let left = world.poller.flush();
    assert_eq!(left, vec![(1, world.poller.output_size(1))]);
    assert_eq!(world.output.charged(), left[0].1 as u64);
    world.poller.send(1, [Piece::Bytes(b"tail")].into_iter());
    assert!(
        world.poller.flush().is_empty(),
        "a blocked socket isn't tried again"
    );
    let mut data = read_all(&mut peer);
    while world.poller.wait(0, 0) {
        assert_eq!(world.round(), "");
        let unblocked = world.poller.take_unblocked();
        assert_eq!(unblocked, vec![(1, world.poller.output_size(1))]);
        data.extend(read_all(&mut peer));
    }
    assert!(data == [b"head", &big[..], b"tail"].concat());
    assert_eq!(world.output.charged(), 0);
}

#[test]
fn hanging_up_lets_the_output_out_and_discards_what_comes_until_the_peer_hangs_up() {
    let mut world = World::new();
    let mut peer = world.connect(1);
    world
        .poller
        .send(1, [Piece::Bytes(b"last words")].into_iter());
    world.poller.hang_up(1);
    world
        .poller
        .send(1, [Piece::Bytes(b"nobody's")].into_iter());
    peer.write_all(b"unheard").unwrap();
    assert_eq!(world.round(), "");
    assert_eq!(read_all(&mut peer), b"last words");
    drop(peer);
    assert_eq!(world.round(), "1.");
    world.poller.remove(1);
    assert_eq!(world.output.charged(), 0);
}

#[test]
fn a_broken_socket_is_an_end_and_never_an_error() {
    let mut world = World::new();
    let peer = world.connect(1);
    drop(peer);
    world
        .poller
        .send(1, [Piece::Bytes(b"to nobody")].into_iter());
    assert!(world.poller.flush().is_empty());
    assert!(world.poller.pending());
    assert_eq!(world.round(), "1.");
    assert!(!world.poller.pending());
    world.poller.hang_up(1);
    world
        .poller
        .send(1, [Piece::Bytes(b"to nobody")].into_iter());
    assert_eq!(world.output.charged(), 0);
}

#[test]
fn a_socket_is_read_so_much_a_round_and_those_behind_get_their_turn() {
    let mut world = World::new();
    let count = 2 * ROUND_READ_SIZE_MAX / READ_SIZE_MAX;
    let data = vec![b'x'; READ_SIZE_MAX];
    let mut peers: Vec<_> = (0..count)
        .map(|token| world.connect_with(token as i64, Arc::new(Mutex::new(Sizes))))
        .collect();
    let mut written = vec![0; count];
    let mut read = vec![0; count];
    let mut missed = vec![0; count];
    for _ in 0..8 {
        for (peer, written) in peers.iter_mut().zip(&mut written) {
            *written += peer.write(&data).unwrap_or(0);
        }
        for missed in &mut missed {
            *missed += 1;
        }
        let received = world.poller.round();
        assert!(
            received
                .iter()
                .map(|(_, received)| size_of(received))
                .sum::<usize>()
                <= ROUND_READ_SIZE_MAX
        );
        for (token, received) in received {
            assert!(size_of(&received) <= READ_SIZE_MAX);
            read[token as usize] += size_of(&received);
            missed[token as usize] = 0;
        }
        assert!(
            missed.iter().max() <= Some(&2),
            "twice as many as a round has room for"
        );
    }
    while world.poller.wait(0, 0) {
        for (token, received) in world.poller.round() {
            read[token as usize] += size_of(&received);
        }
    }
    assert_eq!(read, written);
}

#[test]
fn a_watched_eventfd_is_told_once_for_each_change_though_nobody_reads_it() {
    let mut world = World::new();
    let signal = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    assert_eq!(
        world
            .poller
            .watch(crate::sys::duplicate(signal.as_raw_fd()).unwrap(), false),
        Ok(-1)
    );
    assert_eq!(world.round(), "");
    for _ in 0..2 {
        rustix::io::write(&signal, &1u64.to_ne_bytes()).unwrap();
        assert!(world.poller.wait(0, 0));
        assert_eq!(world.round(), "-1");
        assert_eq!(world.round(), "");
    }
}

#[test]
fn a_watched_socket_is_told_twice_once_its_peer_has_hung_up() {
    let mut world = World::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let watched = crate::sys::duplicate(ours.as_raw_fd()).unwrap();
    assert_eq!(world.poller.watch(watched, false), Ok(-1));
    theirs.write_all(b"some").unwrap();
    assert_eq!(world.round(), "-1");
    theirs.write_all(b"more").unwrap();
    drop(theirs);
    assert_eq!(world.round(), "-1 -1");
    assert_eq!(world.round(), "");
}

#[test]
fn a_watched_socket_is_told_when_it_takes_more_of_what_it_did_not_take() {
    let mut world = World::new();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let watched = crate::sys::duplicate(ours.as_raw_fd()).unwrap();
    assert_eq!(world.poller.watch(watched, true), Ok(-1));
    assert_eq!(world.round(), "-1", "it takes something to begin with");
    let mut written = 0;
    while let Ok(size) = ours.write(&[0; 4096]) {
        written += size;
    }
    assert_eq!(world.round(), "");
    theirs.read_exact(&mut vec![0; written]).unwrap();
    assert_eq!(world.round(), "-1");
    assert_eq!(world.round(), "");
}

#[test]
#[should_panic(expected = "token 1 is in use")]
fn a_token_is_given_once() {
    let mut world = World::new();
    let _peers = (world.connect(1), world.connect(1));
}

#[test]
fn who_begins_something_must_get_on_with_it() {
    let mut world = World::new();
    let mut peer = world.connect_with(1, Arc::new(Mutex::new(Unfinished(0))));
    assert!(world.poller.slow_inputs(10).is_empty());
    peer.write_all(b"begun").unwrap();
    world.poller.round();
    assert!(world.poller.slow_inputs(10).is_empty());
    assert_eq!(world.poller.slow_inputs(10), [1]);
    peer.write_all(b"ten more...").unwrap();
    world.poller.round();
    assert!(world.poller.slow_inputs(10).is_empty());
    world.poller.pause(1);
    assert!(world.poller.slow_inputs(10).is_empty());
}

#[test]
fn a_watched_listener_s_connections_are_accepted_with_their_addresses() {
    let world = World::new();
    let mut poller = world.poller;
    let listener = std::net::TcpListener::bind("[::]:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = poller.watch(listener.into(), false).unwrap();
    assert_eq!(poller.accept(token).unwrap_err(), Errno::AGAIN);
    let peer = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (fd, address) = poller.accept(token).unwrap();
    let address = address.unwrap();
    assert_eq!(address.ip().to_canonical().to_string(), "127.0.0.1");
    assert_eq!(address.port(), peer.local_addr().unwrap().port());
    assert!(rustix::net::sockopt::tcp_nodelay(&fd).unwrap());
    assert_eq!(poller.accept(token).unwrap_err(), Errno::AGAIN);
}
