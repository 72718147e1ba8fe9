//! The node's journal: one write and one sync for what all groups of a round want kept.
//!
//! A state machine without a thread. `submit` takes records, `start_write` plans a write of all
//! that is waiting, somebody carries it out (`PlannedWrite::write`, then `sync`) and
//! `finish_write` says how it went. At most one write is in flight, so that at most one was
//! unsynced when the power went. A failed sync is final: nothing is confirmed after it, and a
//! restart reads what is on the disk. A full disk is not: the same write is planned again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskError, DiskFile, DiskResult};
use crate::file_header::{Identity, HEADER_SIZE, REMEDY_COPY};
use crate::group_record::{GroupRecord, LogEntry};
use crate::journal_close::CloseMark;
use crate::journal_files::{claim, journal_name, JournalFile, SpareFiles};
use crate::journal_format::{self, EncodedWrite, WRITE_ALIGN, WRITE_HEADER_SIZE};
use crate::journal_index::{GroupLog, JournalIndex, Location};
use crate::journal_recovery::{recover, rewrite_tail, Cut, Expected, FoundWrite};
use crate::raft_log::Position;

#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Bytes of a journal file; a write that is larger gets a larger file.
    pub file_size: u64,
    /// A write takes no further record beyond this.
    pub write_size_max: u64,
    /// Files kept ready to become the next journal file.
    pub spare_count: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            file_size: 128 << 20,
            // 16 MiB took 15 ms to write and sync: longer would show in everybody's latency.
            write_size_max: 16 << 20,
            spare_count: 2,
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    pub write_count: u64,
    pub closed_cleanly: bool,
    pub cut: Option<Cut>,
    /// Files that the newest checkpoint made superfluous.
    pub obsolete: Vec<u64>,
}

enum Place {
    At(JournalFile),
    /// The journal rolls: this file must be made first.
    New {
        number: u64,
    },
}

/// One write on its way. `write` and then `sync`, or `carry_out`; then hand it to `finish_write`.
pub struct PlannedWrite {
    pub number: u64,
    records: Vec<GroupRecord>,
    /// The submission that is durable with it.
    through: u64,
    /// Padded bytes.
    size: u64,
    place: Place,
    encoded: Option<EncodedWrite>,
    spare_files: Arc<SpareFiles>,
    identity: Identity,
    file_size: u64,
}

impl PlannedWrite {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Encodes and writes; makes the next file first if the journal rolls.
    pub fn write(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        let (encoded, file) = self.prepare(disk)?;
        encoded.write(&*file.file, file.end)
    }

    pub fn sync(&self) -> DiskResult<()> {
        match &self.place {
            Place::At(JournalFile { file, .. }) => file.sync(),
            Place::New { .. } => unreachable!("synced before it was written"),
        }
    }

    /// `write` and `sync`, in one go where that is quicker.
    pub fn carry_out(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        let (encoded, file) = self.prepare(disk)?;
        if encoded.write_synced(&*file.file, file.end)? {
            return Ok(());
        }
        encoded.write(&*file.file, file.end)?;
        file.file.sync()
    }

    fn prepare(&mut self, disk: &dyn Disk) -> DiskResult<(&EncodedWrite, &JournalFile)> {
        if let Place::New { number } = self.place {
            let spare_files = &self.spare_files;
            let file = claim(
                disk,
                spare_files,
                &self.identity,
                number,
                self.size,
                self.file_size,
            )?;
            self.place = Place::At(file);
        }
        let Place::At(file) = &self.place else {
            unreachable!("claimed above")
        };
        let encoded = self.encoded.get_or_insert_with(|| {
            let seed = self.identity.checksum_seed(file.number);
            let synced_through = self.number - 1;
            journal_format::encode(&self.records, self.number, synced_through, seed, file.end)
        });
        Ok((encoded, file))
    }
}

/// Why publishers can't be served, if they can't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    Open,
    /// The last write found no room; it is tried again.
    NoSpace,
    /// For good.
    Poisoned(DiskError),
}

/// An entry on disk, to be read without holding the journal.
pub struct LocatedEntry {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub location: Location,
    file: Arc<dyn DiskFile>,
}

impl LocatedEntry {
    /// Reads and checks it. A file that was retired and recycled since fails the check as well:
    /// who sees damage asks whether the entry is still located here.
    pub fn read(&self) -> StoreResult<LogEntry> {
        let Location {
            file,
            position,
            size,
            checksum,
        } = self.location;
        let data = self.file.read_range(position as u64, size as usize)?;
        if data.len() != size as usize || crc32c::crc32c(&data) != checksum {
            let name = journal_name(file as u64);
            let what = format!("entry {} has a wrong checksum", self.index);
            return Err(Damage::new(&name, position as u64, what, REMEDY_COPY).into());
        }
        Ok(LogEntry {
            index: self.index,
            term: self.term,
            kind: self.kind,
            data: data.into(),
        })
    }
}

struct Waiting {
    record: GroupRecord,
    submission: u64,
}

pub struct Journal {
    identity: Identity,
    options: JournalOptions,
    waiting: VecDeque<Waiting>,
    /// Submissions so far, and how many of them are durable.
    submitted: u64,
    synced: u64,
    files: BTreeMap<u64, JournalFile>,
    spare_files: Arc<SpareFiles>,
    /// Number of the file that takes the writes.
    current: u64,
    next_write: u64,
    in_flight: bool,
    retry: Option<PlannedWrite>,
    index: JournalIndex,
    state: JournalState,
    /// First write of each file.
    first_writes: BTreeMap<u64, u64>,
    /// The last write, if it was read back and not made sure of yet.
    tail: Option<FoundWrite>,
    ready: bool,
}

impl Journal {
    /// Makes the first file of a new store's journal.
    pub fn create(
        disk: &dyn Disk,
        identity: Identity,
        options: JournalOptions,
    ) -> DiskResult<Self> {
        let none = SpareFiles::default();
        let first = claim(disk, &none, &identity, 1, 0, options.file_size)?;
        Ok(Self::with(identity, options, vec![first], 1))
    }

    /// Reads the journal back and makes it ready for the next write, or says what is damaged.
    pub fn open(
        disk: &dyn Disk,
        identity: Identity,
        options: JournalOptions,
        expected: Expected,
    ) -> StoreResult<(Self, Replay)> {
        let (mut journal, replay) = Self::read(disk, identity, options, expected)?;
        journal.make_ready(disk)?;
        Ok((journal, replay))
    }

    /// Reads the journal back and changes nothing; it is not ready to write.
    pub fn read(
        disk: &dyn Disk,
        identity: Identity,
        options: JournalOptions,
        expected: Expected,
    ) -> StoreResult<(Self, Replay)> {
        let mut first_writes = BTreeMap::from([(expected.first_file, expected.first_write)]);
        let recovered = recover(disk, &identity, expected, &mut |file, found, _| {
            first_writes.entry(file).or_insert(found.header.number);
        })?;
        let replay = Replay {
            write_count: recovered.write_count,
            closed_cleanly: recovered.closed_cleanly,
            cut: recovered.cut,
            obsolete: recovered.obsolete,
        };
        let mut journal = Self::with(identity, options, recovered.files, recovered.next_write);
        journal.tail = recovered.last_write;
        journal.ready = false;
        journal.index = recovered.index;
        first_writes
            .entry(journal.current)
            .or_insert(recovered.next_write);
        journal.first_writes = first_writes;
        Ok((journal, replay))
    }

    /// Makes sure that what was read is on the platter, and takes the mark of the clean close away.
    pub fn make_ready(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        if let Some(last) = self.tail.take() {
            let held = self
                .files
                .values()
                .rev()
                .find(|file| file.end > HEADER_SIZE);
            if let Some(file) = held {
                rewrite_tail(&*file.file, last)?;
            }
        }
        CloseMark::remove(disk)?;
        self.ready = true;
        Ok(())
    }

    fn with(
        identity: Identity,
        options: JournalOptions,
        files: Vec<JournalFile>,
        next_write: u64,
    ) -> Self {
        let current = files.last().map_or(1, |file| file.number);
        Self {
            identity,
            options,
            waiting: VecDeque::new(),
            submitted: 0,
            synced: 0,
            files: files.into_iter().map(|file| (file.number, file)).collect(),
            current,
            spare_files: Arc::default(),
            next_write,
            in_flight: false,
            retry: None,
            index: JournalIndex::default(),
            state: JournalState::Open,
            first_writes: BTreeMap::from([(current, next_write)]),
            tail: None,
            ready: true,
        }
    }

    /// Takes what one round wants kept. Returns the submission's number: it is durable, whole,
    /// once `synced()` is not below it.
    pub fn submit(&mut self, records: Vec<GroupRecord>) -> u64 {
        self.submitted += u64::from(!records.is_empty());
        let submission = self.submitted;
        self.waiting.extend(
            records
                .into_iter()
                .map(|record| Waiting { record, submission }),
        );
        submission
    }

    /// Plans a write of what is waiting; None if nothing is, or the journal is poisoned.
    pub fn start_write(&mut self) -> Option<PlannedWrite> {
        assert!(!self.in_flight, "one write at a time");
        assert!(self.ready, "what was read back comes first");
        if matches!(self.state, JournalState::Poisoned(_)) {
            return None;
        }
        let planned = self.retry.take().or_else(|| self.plan())?;
        self.in_flight = true;
        Some(planned)
    }

    fn plan(&mut self) -> Option<PlannedWrite> {
        let padded = |size: u64| size.next_multiple_of(WRITE_ALIGN);
        let head_size = WRITE_HEADER_SIZE as u64;
        let first = journal_format::record_size(&self.waiting.front()?.record);
        let current = &self.files[&self.current];
        let left = current.capacity.saturating_sub(current.end);
        let (place, room, mut records) = if padded(head_size + first) <= left {
            (Place::At(current.clone()), left, Vec::new())
        } else {
            let number = self.current + 1;
            let room = self.options.file_size - HEADER_SIZE;
            (Place::New { number }, room, self.hard_states())
        };
        let mut size = head_size + records.iter().map(journal_format::record_size).sum::<u64>();
        let size_max = self.options.write_size_max.min(room);
        let mut through = self.synced;
        let mut taken = 0;
        while let Some(next) = self.waiting.front() {
            let more = journal_format::record_size(&next.record);
            // The first is taken however large: a new file is made to hold it.
            if taken > 0 && padded(size + more) > size_max {
                break;
            }
            size += more;
            taken += 1;
            through = next.submission;
            records.extend(self.waiting.pop_front().map(|waiting| waiting.record));
        }
        // A submission is durable once its last record is.
        if self
            .waiting
            .front()
            .is_some_and(|next| next.submission == through)
        {
            through -= 1;
        }
        Some(PlannedWrite {
            number: self.next_write,
            records,
            through,
            size: padded(size),
            place,
            encoded: None,
            spare_files: self.spare_files.clone(),
            identity: self.identity,
            file_size: self.options.file_size,
        })
    }

    /// Each file starts with every group's hard state, so that the files before it may go.
    fn hard_states(&self) -> Vec<GroupRecord> {
        let record = |(group, log): (u32, &GroupLog)| GroupRecord {
            group,
            hard_state: Some(log.hard_state),
            entries: Vec::new(),
        };
        self.index.groups().map(record).collect()
    }

    /// How the planned write went. Returns the records that are durable now, to be dropped where
    /// it holds nobody up.
    pub fn finish_write(
        &mut self,
        planned: PlannedWrite,
        result: DiskResult<()>,
    ) -> Vec<GroupRecord> {
        assert!(self.in_flight, "no write is in flight");
        self.in_flight = false;
        match result {
            Ok(()) => return self.take_in(planned),
            Err(error) if error.is_no_space() => {
                self.state = JournalState::NoSpace;
                self.retry = Some(planned);
            }
            Err(error) => self.state = JournalState::Poisoned(error),
        }
        Vec::new()
    }

    /// Nothing is written any more.
    pub fn poison(&mut self, error: DiskError) {
        self.state = JournalState::Poisoned(error);
    }

    fn take_in(&mut self, planned: PlannedWrite) -> Vec<GroupRecord> {
        let (Place::At(mut file), Some(encoded)) = (planned.place, planned.encoded) else {
            unreachable!("finished before it was written")
        };
        let data = file.end + encoded.data_start();
        self.index.append(&encoded.rows, file.number as u32, data);
        file.end += planned.size;
        self.first_writes
            .entry(file.number)
            .or_insert(planned.number);
        self.current = file.number;
        self.files.insert(file.number, file);
        self.next_write = planned.number + 1;
        self.synced = planned.through;
        self.state = JournalState::Open;
        planned.records
    }

    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    pub fn synced(&self) -> u64 {
        self.synced
    }

    pub fn state(&self) -> &JournalState {
        &self.state
    }

    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Something is to be written now or to be tried again.
    pub fn has_work(&self) -> bool {
        self.retry.is_some() || !self.waiting.is_empty()
    }

    pub fn index(&self) -> &JournalIndex {
        &self.index
    }

    /// Where an entry lies and how to read it; None if the journal does not hold it.
    pub fn locate(&self, group: u32, index: u64) -> Option<LocatedEntry> {
        let log = self.index.group(group)?;
        let location = log.location(index)?;
        let (term, kind) = log.term_and_kind(index);
        let file = self.files.get(&(location.file as u64))?.file.clone();
        Some(LocatedEntry {
            index,
            term,
            kind,
            location,
            file,
        })
    }

    /// Numbers of the files that take no more writes, ascending.
    pub fn full_files(&self) -> Vec<u64> {
        self.files
            .range(..self.current)
            .map(|(number, _)| *number)
            .collect()
    }

    pub fn has_full_files(&self) -> bool {
        self.files
            .keys()
            .next()
            .is_some_and(|first| *first < self.current)
    }

    /// What it takes its next files from.
    pub fn spare_files(&self) -> &Arc<SpareFiles> {
        &self.spare_files
    }

    /// Number of the file that takes the writes.
    pub fn current_file(&self) -> u64 {
        self.current
    }

    /// Number of the write to come; all before it are synced but the one in flight.
    pub fn next_write(&self) -> u64 {
        self.next_write
    }

    /// What the journal will be known by once the files up to `through`, all full, are retired.
    pub fn expected_after(&self, through: u64) -> Expected {
        assert!(
            through < self.current,
            "the file that is written is never retired"
        );
        let (first_file, first_write) = self
            .first_writes
            .range(through + 1..)
            .next()
            .map_or((self.current, self.next_write), |(file, write)| {
                (*file, *write)
            });
        Expected {
            first_file,
            first_write,
            written_through: self.next_write - 1,
        }
    }

    /// Forgets the files up to `through`, whose content a durable checkpoint holds, and returns
    /// their numbers for [`recycle`](crate::journal_files::recycle).
    pub fn retire(&mut self, through: u64) -> Vec<u64> {
        assert!(
            through < self.current,
            "the file that is written is never retired"
        );
        let kept = self.files.split_off(&(through + 1));
        let retired = std::mem::replace(&mut self.files, kept);
        self.first_writes = self.first_writes.split_off(&(through + 1));
        self.index.forget_files_through(through as u32);
        retired.into_keys().collect()
    }

    /// A snapshot of that position is in the store: the group's log goes on after it, or is of no use.
    pub fn begin_after(&mut self, group: u32, position: Position) {
        self.index.begin_after(group, position);
    }

    /// Bytes in files that are not retired.
    pub fn unretired_size(&self) -> u64 {
        self.files.values().map(|file| file.end).sum()
    }

    /// Leaves the mark of a clean close. Everything submitted must be synced.
    pub fn close(&self, disk: &dyn Disk) -> DiskResult<()> {
        assert!(!self.in_flight && !self.has_work(), "closed with work left");
        let mark = CloseMark {
            last_write: self.next_write - 1,
            last_file: self.current,
        };
        mark.write(disk, &self.identity)
    }
}

#[cfg(test)]
mod tests;
