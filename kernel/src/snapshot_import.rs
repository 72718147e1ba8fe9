//! A shard's snapshot on its way in: what a peer's stream brings becomes segments and a state.
//!
//! Nothing of it is part of the store before `finish`, which makes it the group's newest state in one
//! durable step (`store_import.rs`). What was given up, or was being written when the process died, are
//! files that nobody names: the next cycle or start takes them away. Memory: the state, which the shard
//! needs anyway, and what sealing holds before it writes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::BlockKey;
use crate::cycle::remove;
use crate::damage::StoreError;
use crate::disk::{DiskError, DiskFault};
use crate::entry_wants::{record_count, wanted_records, EntryWants};
use crate::frozen::{restore_block, Want, BLOCK_HEAD, BLOCK_QUEUE, BLOCK_ROW};
use crate::journal::JournalState;
use crate::queue_state::{QueueState, Selection};
use crate::raft_conf::Conf;
use crate::raft_log::Position;
use crate::record_batch::record_numbers;
use crate::sealing::Sealing;
use crate::segment::segment_name;
use crate::segment_format::Address;
use crate::shard_state::ShardState;
use crate::snapshot_stream::{
    frame_address, Item, StreamError, StreamHead, StreamReader, KIND_FRAME,
};
use crate::store::Store;
use crate::store_import::{Imported, Installed};

/// Why an import did not go on. It never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// What the peer sent can't be taken in.
    Refused(StreamError),
    /// This store can't.
    Store(StoreError),
}

impl From<StreamError> for ImportError {
    fn from(error: StreamError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DiskError> for ImportError {
    fn from(error: DiskError) -> Self {
        Self::Store(error.into())
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(formatter),
            Self::Store(error) => error.fmt(formatter),
        }
    }
}

type ImportResult<T> = Result<T, ImportError>;

/// The frame whose records are coming in.
struct Coming {
    address: Address,
    wants: Vec<Want>,
    wanted: Vec<Range<u32>>,
    /// Numbers of the records that came, as they came.
    numbers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Receiving,
    /// The stream's end came.
    Whole,
    Finished,
    /// An error or `abort` ended it.
    GivenUp,
}

/// See the file's head.
pub struct Import {
    store: Arc<Store>,
    group: u32,
    stream: StreamReader,
    head: Option<StreamHead>,
    conf: Conf,
    state: ShardState,
    last_block: Option<BlockKey>,
    sealing: Sealing,
    /// Once the state is whole.
    wants: Option<EntryWants>,
    /// What is wanted of the entry that is coming in, by frame, the last first.
    entry: Vec<Vec<Want>>,
    coming: Option<Coming>,
    standing: Standing,
}

impl Import {
    pub fn begin(store: Arc<Store>, group: u32) -> Self {
        let options = store.options.sealing;
        Self {
            sealing: Sealing::new(store.identity, options, store.numbers.clone()),
            store,
            group,
            stream: StreamReader::default(),
            head: None,
            conf: Conf::default(),
            state: ShardState::default(),
            last_block: None,
            wants: None,
            entry: Vec::new(),
            coming: None,
            standing: Standing::Receiving,
        }
    }

    pub fn group(&self) -> u32 {
        self.group
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.stream.received()
    }

    /// Where the snapshot stands; None: its head has not come.
    pub fn position(&self) -> Option<Position> {
        self.head.as_ref().map(|head| head.position)
    }

    pub fn is_finished(&self) -> bool {
        self.standing == Standing::Finished
    }

    /// The state that is durable now; None: `finish` did not come to that.
    pub fn state(&self) -> Option<ShardState> {
        self.is_finished().then(|| self.state.clone())
    }

    /// The next bytes of the stream, however it is cut. An error gives the import up.
    pub fn receive(&mut self, data: &[u8]) -> ImportResult<()> {
        let taken = self.take_in(data);
        if taken.is_err() {
            self.abort();
        }
        taken
    }

    fn take_in(&mut self, data: &[u8]) -> ImportResult<()> {
        if !matches!(self.standing, Standing::Receiving | Standing::Whole) {
            return Err(self.refused("the import is over"));
        }
        if self.store.space.is_low() {
            let what = format!("a snapshot of group {}", self.group);
            return Err(DiskError::new(DiskFault::NoSpace, "receive", &what).into());
        }
        self.stream.push(data);
        loop {
            let position = self.stream.position();
            let Some(item) = self.stream.next()? else {
                return Ok(());
            };
            let taken = match item {
                Item::Head(head) => self.take_head(head),
                Item::Record { kind, key, content } if kind == KIND_FRAME => {
                    self.take_frame(frame_address(&key), &content)
                }
                Item::Record { kind, key, content } => self.take_block(kind, &key, &content),
                Item::End => self.take_end(),
            };
            taken.map_err(|error| match error {
                ImportError::Refused(StreamError { what, .. }) => {
                    ImportError::Refused(StreamError { position, what })
                }
                error @ ImportError::Store(_) => error,
            })?;
        }
    }

    fn refused(&self, what: impl Into<String>) -> ImportError {
        self.stream.error(what).into()
    }

    fn take_head(&mut self, head: StreamHead) -> ImportResult<()> {
        if head.group != self.group {
            let what = format!("it is of group {}, not {}", head.group, self.group);
            return Err(self.refused(what));
        }
        if head.position.index == 0 || head.position.term == 0 {
            return Err(self.refused("it stands nowhere"));
        }
        let conf = Conf::decode(&head.conf).map_err(|what| self.refused(what))?;
        if conf.voters.is_empty() {
            return Err(self.refused("its configuration has no voters"));
        }
        self.conf = conf;
        self.head = Some(head);
        Ok(())
    }

    fn take_block(&mut self, kind: u8, key: &Bytes, content: &Bytes) -> ImportResult<()> {
        let Some(head) = &self.head else {
            return Err(self.refused("a block before the head"));
        };
        let key = BlockKey {
            group: self.group,
            kind,
            key: key.to_vec(),
        };
        let is_first = self.last_block.is_none();
        if self.wants.is_some() || is_first != (kind == BLOCK_HEAD) {
            return Err(self.refused("a block out of its place"));
        }
        if self.last_block.as_ref().is_some_and(|last| *last >= key) {
            return Err(self.refused("blocks do not ascend"));
        }
        let (position, queue_count, row_count) = (head.position, head.queue_count, head.row_count);
        restore_block(&mut self.state, &key, content).map_err(|what| self.refused(what))?;
        let state = &self.state;
        let checked = match kind {
            BLOCK_HEAD if state.applied_index != position.index => {
                Err("another index than the head's")
            }
            BLOCK_HEAD if state.applied_term != position.term => {
                Err("another term than the head's")
            }
            BLOCK_QUEUE if state.queues.len() as u64 > queue_count => {
                Err("more queues than it says")
            }
            BLOCK_QUEUE => {
                let queue = state.queues.get_max().map(|(_, queue)| queue);
                queue.map_or(Ok(()), |queue| check_queue(queue, position.index))
            }
            BLOCK_ROW if state.rows.len() as u64 > row_count => Err("more rows than it says"),
            _ => Ok(()),
        };
        checked.map_err(|what| self.refused(what))?;
        self.last_block = Some(key);
        Ok(())
    }

    /// The state is whole before the first frame, or the end.
    fn check_state(&mut self) -> ImportResult<()> {
        if self.wants.is_some() {
            return Ok(());
        }
        let Some(head) = self.head.as_ref().filter(|_| self.last_block.is_some()) else {
            return Err(self.refused("there is no state"));
        };
        let counts = (self.state.queues.len() as u64, self.state.rows.len() as u64);
        if counts != (head.queue_count, head.row_count) {
            return Err(self.refused("fewer queues or rows than it says"));
        }
        self.wants = Some(EntryWants::new(self.state.clone()));
        Ok(())
    }

    /// What is wanted of the next frame that something is wanted of.
    fn next_wants(&mut self) -> Option<Vec<Want>> {
        if self.entry.is_empty() {
            let (_, wants) = self.wants.as_mut()?.next()?;
            let by_frame = wants.chunk_by(|one, other| one.address == other.address);
            self.entry = by_frame.rev().map(<[Want]>::to_vec).collect();
        }
        self.entry.pop()
    }

    fn take_frame(&mut self, address: Address, frame: &Bytes) -> ImportResult<()> {
        self.check_state()?;
        if self
            .coming
            .as_ref()
            .is_none_or(|coming| coming.address != address)
        {
            self.end_frame()?;
            let wants = self.next_wants().unwrap_or_default();
            if wants.first().is_none_or(|want| want.address != address) {
                return Err(self.refused(match wants.first() {
                    Some(want) => format!("{address:?} where {:?} is wanted", want.address),
                    None => format!("{address:?} where nothing more is wanted"),
                }));
            }
            self.coming = Some(Coming {
                address,
                wanted: wanted_records(&wants),
                wants,
                numbers: Vec::new(),
            });
        }
        let numbers = record_numbers(frame).map_err(|what| self.refused(what))?;
        self.stream.count_frame(numbers.len() as u64, frame.len());
        let Some(coming) = &mut self.coming else {
            unreachable!("begun above")
        };
        coming.numbers.extend(numbers);
        let taken = self.sealing.take(self.group, address, frame, &coming.wants);
        taken.map_err(|what| self.stream.error(what))?;
        self.sealing.relieve(&*self.store.disk)?;
        Ok(())
    }

    /// All that is wanted of the frame must have come, once, and nothing else.
    fn end_frame(&mut self) -> ImportResult<()> {
        let Some(Coming {
            address,
            wanted,
            mut numbers,
            ..
        }) = self.coming.take()
        else {
            return Ok(());
        };
        numbers.sort_unstable();
        let came = numbers.len() as u64;
        let mut all = wanted.iter().cloned().flatten();
        if came != record_count(&wanted) || !numbers.into_iter().eq(all.by_ref()) {
            let count = record_count(&wanted);
            let what =
                format!("{came} records of {address:?} came, and others than the {count} wanted");
            return Err(self.refused(what));
        }
        Ok(())
    }

    fn take_end(&mut self) -> ImportResult<()> {
        self.check_state()?;
        self.end_frame()?;
        if let Some(want) = self.next_wants().and_then(|wants| wants.into_iter().next()) {
            let what = format!("it ends where {:?} is wanted", want.address);
            return Err(self.refused(what));
        }
        self.standing = Standing::Whole;
        Ok(())
    }

    /// Makes it the group's newest state, durably. Raft is to be told afterwards. An error gives the
    /// import up.
    pub fn finish(&mut self) -> ImportResult<()> {
        let finished = self.install();
        if finished.is_err() {
            self.abort();
        }
        finished
    }

    fn install(&mut self) -> ImportResult<()> {
        let (Standing::Whole, Some(head)) = (self.standing, &self.head) else {
            return Err(self.refused("its end has not come"));
        };
        let position = head.position;
        while !self.sealing.finish_step(&*self.store.disk)? {}
        let imported = Imported {
            group: self.group,
            position,
            conf: self.conf.clone(),
            state: self.state.clone(),
            segments: self.sealing.take_finished(),
        };
        match self.store.install_import(imported)? {
            Installed::Now => {}
            // Raft may not have heard of it.
            Installed::Before => self.remove_segments(),
            Installed::Never => {
                let what = format!("the store has group {} as of later", self.group);
                return Err(self.refused(what));
            }
        }
        self.standing = Standing::Finished;
        Ok(())
    }

    /// Gives it up, if it is not finished: what was written goes.
    pub fn abort(&mut self) {
        if matches!(self.standing, Standing::Finished | Standing::GivenUp) {
            return;
        }
        self.standing = Standing::GivenUp;
        // After a failure it is not known what got through.
        if matches!(self.store.journal.state(), JournalState::Poisoned(_)) {
            return;
        }
        self.remove_segments();
    }

    fn remove_segments(&self) {
        for number in self.sealing.numbers() {
            // What can't be removed goes at the next cycle or start.
            let _ = remove(&*self.store.disk, &segment_name(*number));
        }
    }
}

/// What a queue is that apply made, so that arithmetic on it never fails.
fn check_queue(queue: &QueueState, applied_index: u64) -> Result<(), &'static str> {
    let (mut next, mut entry, mut count) = (0, 1, 0);
    for (first, slice) in queue.slices() {
        let ascends = first >= next && (entry..=applied_index).contains(&slice.entry);
        let end = first.checked_add(slice.count());
        let Some(end) =
            end.filter(|end| ascends && slice.count() > 0 && *end <= queue.next_sequence)
        else {
            return Err("a queue's slices are in disorder");
        };
        let good = match &slice.selection {
            Selection::Range { first, count } => first.checked_add(*count).is_some(),
            Selection::List { records, .. } => {
                records.windows(2).all(|pair| pair[0] < pair[1])
                    && records.last() != Some(&u32::MAX)
            }
        };
        if !good {
            return Err("a slice names records that can't be");
        }
        (next, entry) = (end, slice.entry);
        count += slice.count();
    }
    if count != queue.message_count {
        return Err("two of a queue's slices begin at one place");
    }
    let mut next = 0;
    for (first, last, _) in queue.returned() {
        if first < next || last < first || last >= queue.next_sequence {
            return Err("a queue's returned runs are in disorder");
        }
        next = last + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
