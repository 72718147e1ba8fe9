//! What an export or an import holds in memory does not grow with what the shard holds on disk.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::disk::{DiskFile, DiskResult};
use crate::group_record::{GroupRecord, LogEntry};
use crate::shard_state::Changes;

/// A disk that counts the bytes that are read and written.
#[derive(Clone)]
struct Counting {
    disk: SimDisk,
    read: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

struct CountedFile {
    file: Arc<dyn DiskFile>,
    disk: Counting,
}

impl Counting {
    fn new() -> Self {
        Self {
            disk: SimDisk::new(1 << 30),
            read: Arc::default(),
            written: Arc::default(),
        }
    }

    fn counted(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(CountedFile { file, disk })
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn take_read(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl DiskFile for CountedFile {
    fn size(&self) -> DiskResult<u64> {
        self.file.size()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        self.disk
            .read
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.file.read_at(position, buffer)
    }

    fn writev_at(&self, position: u64, parts: &[IoSlice<'_>]) -> DiskResult<()> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        self.disk.written.fetch_add(size as u64, Ordering::Relaxed);
        self.file.writev_at(position, parts)
    }

    fn zero(&self, position: u64, size: u64) -> DiskResult<()> {
        self.file.zero(position, size)
    }

    fn preallocate(&self, size: u64) -> DiskResult<()> {
        self.file.preallocate(size)
    }

    fn set_size(&self, size: u64) -> DiskResult<()> {
        self.file.set_size(size)
    }

    fn sync(&self) -> DiskResult<()> {
        self.file.sync()
    }
}

impl Disk for Counting {
    fn list(&self) -> DiskResult<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        Ok(self.counted(self.disk.open(name)?))
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        Ok(self.counted(self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> DiskResult<()> {
        self.disk.sync_dir()
    }

    fn free_space(&self) -> DiskResult<u64> {
        self.disk.free_space()
    }

    fn lock(&self) -> DiskResult<()> {
        self.disk.lock()
    }

    fn unlock(&self) {
        self.disk.unlock();
    }
}

const COUNT: u64 = 200;
const BODY_SIZE: usize = 100 << 10;

/// One large message.
fn large() -> Frame {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let key = builder.key(b"x", b"k");
    let facts = Facts {
        expiration_ms: NO_EXPIRATION,
        priority: 0,
        flags: 1,
    };
    builder.push(key, b"\x00\x00", &vec![7; BODY_SIZE], facts);
    Frame {
        start: 0,
        size: 0,
        messages: Some(Arc::new(builder.finish())),
    }
}

/// Journals a wave with one large message to a queue, and applies it.
fn publish(store: &Store, state: &mut ShardState, index: u64) {
    let queue = index % 3;
    let held = state.queues.get(&queue);
    let mut wave = Wave {
        time_ms: index,
        created_queues: vec![queue],
        frames: vec![large()],
        routes: vec![Route {
            queue,
            frame: 0,
            first_sequence: held.map_or(0, |queue| queue.next_sequence),
            expires_ms: 0,
            size: BODY_SIZE as u64,
            selection: Selection::Range { first: 0, count: 1 },
        }],
        ..Wave::default()
    };
    let mut data = Vec::new();
    wave.encode(&mut data, |run, out| {
        crate::record_batch::encode(run, 5, out);
    });
    let entry = LogEntry {
        index,
        term: 1,
        kind: 0,
        data: data.into(),
    };
    let record = GroupRecord {
        group: GROUP,
        hard_state: None,
        entries: vec![entry],
    };
    store.journal().submit(vec![record]);
    store.journal().carry_out();
    state.apply(index, 1, &wave, &mut Changes::default());
}

#[test]
fn memory_is_bounded_whatever_the_shard_holds() {
    let source = Counting::new();
    let opened = Store::open(Arc::new(source.clone()), TARGET, options()).unwrap();
    let store = Arc::new(opened.0);
    let mut state = ShardState::default();
    for index in 1..=COUNT {
        publish(&store, &mut state, index);
    }
    let position = Position {
        index: COUNT,
        term: 1,
    };
    let conf = conf();
    let mark = SnapshotMark { position, conf };
    let mut export = Export::begin(store.clone(), GROUP, state.clone(), mark);
    let target = Counting::new();
    let opened = Store::open(Arc::new(target.clone()), TARGET, options()).unwrap();
    let (receiving, open_size_max) = (Arc::new(opened.0), options().sealing.open_size_max as u64);
    let mut import = Import::begin(receiving, GROUP);
    let before = target.written();
    source.take_read();
    let (chunk_size, frame_size) = (64 << 10, BODY_SIZE as u64 + 1024);
    loop {
        let chunk = export.read_up_to(chunk_size).unwrap();
        // An entry is read as it is needed, and not before.
        let read = source.take_read();
        assert!(read <= chunk_size as u64 + frame_size, "{read}");
        if chunk.is_empty() {
            break;
        }
        import.receive(&chunk).unwrap();
        let held = import.received().saturating_sub(target.written() - before);
        let bound = open_size_max + frame_size + chunk_size as u64;
        assert!(held <= bound, "{held} of {bound}");
    }
    assert!(import.received() > COUNT * BODY_SIZE as u64);
    import.finish().unwrap();
    assert_eq!(import.state().unwrap().hash(), state.hash());
}
