//! A shard's snapshot as a stream of bytes between peers.
//!
//! ```text
//! head     0  8  magic "DRAGSNAP"       32  8  peer it comes from
//!          8  4  version = 1            40  8  queue count
//!         12  4  group                  48  8  row count
//!         16  8  index                  56  4  configuration size
//!         24  8  term                   60  4  CRC32C of 0..60
//!         64     configuration, as Raft encodes it | 4 CRC32C of it, from the one before
//! records, each:
//!          0  1  kind                    8  4  CRC32C of key and content, from the head's last one
//!          1  1  zero                   12  4  CRC32C of the record's number and 0..12, from the same
//!          2  2  key size               16     key | content
//!          4  4  content size
//! ```
//!
//! Kinds 0, 1 and 2 are the shard's blocks as a checkpoint has them (`frozen.rs`): its head, its queues and
//! its rows, each sorted by key. Then come frames, kind 16: the key is `8 entry | 2 frame`, ascending, and
//! the content a frame with those of its records that somebody wants; a frame may come in several records.
//! The end, kind 255, is `8 records before it | 8 frames | 8 messages in them | 8 bytes of frames`.
//!
//! How the bytes are cut on their way does not matter. Every size is checked before anybody waits for what
//! it counts, and memory is only taken for what has come. No record passes in another's place.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::file_header::{u32_at, u64_at};
use crate::frozen::{BLOCK_HEAD, BLOCK_QUEUE, BLOCK_ROW};
use crate::raft_log::Position;
use crate::segment_format::Address;

const MAGIC: [u8; 8] = *b"DRAGSNAP";
pub const VERSION: u32 = 1;
const HEAD_SIZE: usize = 64;
const RECORD_HEAD_SIZE: usize = 16;
/// Bytes of a stream that are made or handed on at a time.
pub const CHUNK_SIZE: usize = 512 << 10;
/// A configuration names a few peers.
const CONF_SIZE_MAX: u32 = 64 << 10;
const ROW_KEY_SIZE_MAX: usize = 4096;

pub const KIND_FRAME: u8 = 16;
pub const KIND_END: u8 = 255;
const FRAME_KEY_SIZE: usize = 10;
const END_SIZE: u32 = 32;

/// What a record of a kind may be: (kind, smallest and largest key, largest content).
const KINDS: [(u8, usize, usize, u32); 5] = [
    (BLOCK_HEAD, 0, 0, 64 << 20),
    // 43 bytes for each slice; a checkpoint holds a queue in one block too.
    (BLOCK_QUEUE, 8, 8, 1 << 30),
    (BLOCK_ROW, 1, ROW_KEY_SIZE_MAX, 64 << 20),
    // `max_message_size` goes to 512 MB.
    (KIND_FRAME, FRAME_KEY_SIZE, FRAME_KEY_SIZE, 576 << 20),
    (KIND_END, 0, 0, END_SIZE),
];

/// What is wrong with a stream, and at which of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    pub position: u64,
    pub what: String,
}

impl fmt::Display for StreamError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, what } = self;
        write!(formatter, "a snapshot's stream at byte {position}: {what}")
    }
}

/// What a stream begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    pub group: u32,
    pub position: Position,
    pub peer: u64,
    pub queue_count: u64,
    pub row_count: u64,
    pub conf: Vec<u8>,
}

impl StreamHead {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_SIZE + self.conf.len() + 4);
        out.extend_from_slice(&MAGIC);
        for word in [VERSION, self.group] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let Position { index, term } = self.position;
        for word in [index, term, self.peer, self.queue_count, self.row_count] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&(self.conf.len() as u32).to_le_bytes());
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&self.conf);
        let sum = crc32c::crc32c_append(sum, &self.conf);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// The first 64 bytes, and how large the configuration is. An error says what is wrong.
    fn decode(bytes: &[u8]) -> Result<(Self, usize), String> {
        if bytes[..8] != MAGIC {
            return Err("this is no snapshot's stream".to_owned());
        }
        if u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err("the head's checksum is wrong".to_owned());
        }
        let (version, conf_size) = (u32_at(bytes, 8), u32_at(bytes, 56));
        if version != VERSION {
            return Err(format!("version {version} is not known, only {VERSION}"));
        }
        if conf_size > CONF_SIZE_MAX {
            return Err(format!("a configuration of {conf_size} bytes"));
        }
        let head = Self {
            group: u32_at(bytes, 12),
            position: Position {
                index: u64_at(bytes, 16),
                term: u64_at(bytes, 24),
            },
            peer: u64_at(bytes, 32),
            queue_count: u64_at(bytes, 40),
            row_count: u64_at(bytes, 48),
            conf: Vec::new(),
        };
        Ok((head, conf_size as usize))
    }
}

/// What a stream must come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    records: u64,
    frames: u64,
    messages: u64,
    size: u64,
}

impl Totals {
    fn add_frame(&mut self, messages: u64, size: usize) {
        self.frames += 1;
        self.messages += messages;
        self.size += size as u64;
    }

    fn encode(&self) -> Vec<u8> {
        let words = [self.records, self.frames, self.messages, self.size];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

pub fn frame_key(address: Address) -> [u8; FRAME_KEY_SIZE] {
    let mut key = [0; FRAME_KEY_SIZE];
    key[..8].copy_from_slice(&address.entry.to_le_bytes());
    key[8..].copy_from_slice(&address.frame.to_le_bytes());
    key
}

/// The address of a key that the reader let pass.
pub fn frame_address(key: &[u8]) -> Address {
    Address {
        entry: u64_at(key, 0),
        frame: u16::from_le_bytes([key[8], key[9]]),
    }
}

fn head_checksum(seed: u32, number: u64, head: &[u8]) -> u32 {
    let start = crc32c::crc32c_append(seed, &number.to_le_bytes());
    crc32c::crc32c_append(start, &head[..12])
}

fn body_checksum(seed: u32, key: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, key), content)
}

/// A stream being made: records go in, chunks come out.
pub struct StreamWriter {
    seed: u32,
    totals: Totals,
    parts: VecDeque<Bytes>,
    size: usize,
}

impl StreamWriter {
    pub fn begin(head: &StreamHead) -> Self {
        let head = head.encode();
        let mut writer = Self {
            seed: u32_at(&head, head.len() - 4),
            totals: Totals::default(),
            parts: VecDeque::new(),
            size: 0,
        };
        writer.push(head.into());
        writer
    }

    fn push(&mut self, part: Bytes) {
        self.size += part.len();
        self.parts.push_back(part);
    }

    /// Bytes that wait to be taken.
    pub fn size(&self) -> usize {
        self.size
    }

    /// An error says what is too large for a stream.
    pub fn record(&mut self, kind: u8, key: &[u8], content: Bytes) -> Result<(), String> {
        check_sizes(kind, key.len(), content.len())?;
        let mut head = Vec::with_capacity(RECORD_HEAD_SIZE + key.len());
        head.extend_from_slice(&[kind, 0]);
        head.extend_from_slice(&(key.len() as u16).to_le_bytes());
        head.extend_from_slice(&(content.len() as u32).to_le_bytes());
        let sum = body_checksum(self.seed, key, &content);
        head.extend_from_slice(&sum.to_le_bytes());
        let sum = head_checksum(self.seed, self.totals.records, &head);
        head.extend_from_slice(&sum.to_le_bytes());
        head.extend_from_slice(key);
        self.totals.records += 1;
        self.push(head.into());
        self.push(content);
        Ok(())
    }

    /// A frame with `messages` records.
    pub fn frame(&mut self, address: Address, messages: u64, frame: Bytes) -> Result<(), String> {
        self.totals.add_frame(messages, frame.len());
        self.record(KIND_FRAME, &frame_key(address), frame)
    }

    pub fn end(&mut self) {
        let content = self.totals.encode();
        let ended = self.record(KIND_END, &[], content.into());
        debug_assert!(ended.is_ok(), "it has its size");
    }

    /// The next bytes, at most `size_max`; none: there are none now.
    pub fn take(&mut self, size_max: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(size_max.min(self.size));
        while let Some(part) = self.parts.front_mut() {
            let count = part.len().min(size_max - taken.len());
            taken.extend_from_slice(&part[..count]);
            part.advance(count);
            if !part.is_empty() {
                break;
            }
            self.parts.pop_front();
        }
        self.size -= taken.len();
        taken
    }
}

fn check_sizes(kind: u8, key_size: usize, content_size: usize) -> Result<(), String> {
    let known = KINDS.iter().find(|known| known.0 == kind);
    let Some((_, key_min, key_max, content_max)) = known else {
        return Err(format!("a record of kind {kind} is not known"));
    };
    if !(*key_min..=*key_max).contains(&key_size) {
        return Err(format!(
            "a record of kind {kind} has a key of {key_size} bytes"
        ));
    }
    if content_size > *content_max as usize {
        return Err(format!(
            "a record of kind {kind} has {content_size} bytes, over {content_max}"
        ));
    }
    Ok(())
}

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Head(StreamHead),
    Record {
        kind: u8,
        key: Bytes,
        content: Bytes,
    },
    /// All of it came, and it is whole.
    End,
}

/// Where a reader is.
enum Next {
    Head,
    Record,
    Nothing,
}

/// A stream being read, however it was cut.
pub struct StreamReader {
    buffer: BytesMut,
    /// Of the buffer's first byte in the stream.
    position: u64,
    next: Next,
    seed: u32,
    totals: Totals,
}

impl Default for StreamReader {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            position: 0,
            next: Next::Head,
            seed: 0,
            totals: Totals::default(),
        }
    }
}

impl StreamReader {
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.position + self.buffer.len() as u64
    }

    /// Of what comes next, in the stream.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    pub fn error(&self, what: impl Into<String>) -> StreamError {
        let (position, what) = (self.position, what.into());
        StreamError { position, what }
    }

    /// To be told of each frame's records, so that the end can be checked.
    pub fn count_frame(&mut self, messages: u64, size: usize) {
        self.totals.add_frame(messages, size);
    }

    /// What came next, if all of it is here.
    #[allow(clippy::should_implement_trait)] // an error ends it
    pub fn next(&mut self) -> Result<Option<Item>, StreamError> {
        match self.next {
            Next::Head => self.read_head(),
            Next::Record => self.read_record(),
            Next::Nothing if self.buffer.is_empty() => Ok(None),
            Next::Nothing => Err(self.error("there is more after the end")),
        }
    }

    fn take(&mut self, size: usize) -> Bytes {
        self.position += size as u64;
        self.buffer.split_to(size).freeze()
    }

    fn read_head(&mut self) -> Result<Option<Item>, StreamError> {
        let Some(bytes) = self.buffer.get(..HEAD_SIZE) else {
            return Ok(None);
        };
        let (mut head, conf_size) = StreamHead::decode(bytes).map_err(|what| self.error(what))?;
        let size = HEAD_SIZE + conf_size + 4;
        let Some(bytes) = self.buffer.get(..size) else {
            return Ok(None);
        };
        let conf = &bytes[HEAD_SIZE..size - 4];
        let sum = crc32c::crc32c_append(u32_at(bytes, 60), conf);
        if u32_at(bytes, size - 4) != sum {
            return Err(self.error("the configuration's checksum is wrong"));
        }
        head.conf = conf.to_vec();
        self.seed = sum;
        self.take(size);
        self.next = Next::Record;
        Ok(Some(Item::Head(head)))
    }

    fn read_record(&mut self) -> Result<Option<Item>, StreamError> {
        let Some(head) = self.buffer.get(..RECORD_HEAD_SIZE) else {
            return Ok(None);
        };
        if u32_at(head, 12) != head_checksum(self.seed, self.totals.records, head) {
            return Err(self.error("a record's head has a wrong checksum"));
        }
        let (kind, sum) = (head[0], u32_at(head, 8));
        let key_size = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let content_size = u32_at(head, 4) as usize;
        check_sizes(kind, key_size, content_size).map_err(|what| self.error(what))?;
        let size = RECORD_HEAD_SIZE + key_size + content_size;
        let Some(bytes) = self.buffer.get(RECORD_HEAD_SIZE..size) else {
            return Ok(None);
        };
        if sum != crc32c::crc32c_append(self.seed, bytes) {
            return Err(self.error("a record's content has a wrong checksum"));
        }
        if kind == KIND_END {
            if bytes != self.totals.encode() {
                return Err(self.error("the end counts other than what came"));
            }
            self.take(size);
            self.next = Next::Nothing;
            return Ok(Some(Item::End));
        }
        let mut bytes = self.take(size);
        bytes.advance(RECORD_HEAD_SIZE);
        let key = bytes.split_to(key_size);
        self.totals.records += 1;
        Ok(Some(Item::Record {
            kind,
            key,
            content: bytes,
        }))
    }
}

#[cfg(test)]
mod tests;
