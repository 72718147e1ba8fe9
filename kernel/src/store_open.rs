//! Opening a store: the newest checkpoint, the segments it names, and the journal after it.
//!
//! Everything is read and checked before anything is changed; then what no manifest names goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::{read_blocks, BlockKey, BLOCKS};
use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskFault};
use crate::file_header::{numbered_files, numbered_name, Identity, REMEDY_COPY};
use crate::frozen::restore_block;
use crate::group_record::HardState;
use crate::identity_file;
use crate::journal::{Journal, Replay};
use crate::journal_driver::JournalHandle;
use crate::journal_files::{journal_numbers, recycle, SpareFiles};
use crate::journal_recovery::Expected;
use crate::manifest::{manifest_name, Manifest};
use crate::segment::{segment_name, Segment, SegmentSet, SEGMENT};
use crate::shard_state::ShardState;
use crate::store::{Opened, Store, StoreOptions};
use crate::store_import::{forget_dropped, resume_imports};

/// A group as its checkpoint and its hard state have it; its entries are read from the journal.
#[derive(Clone, Debug, Default)]
pub struct RecoveredGroup {
    pub state: ShardState,
    /// The group's configuration at `state.applied_index`; empty: there was no checkpoint.
    pub conf: Vec<u8>,
    pub hard_state: Option<HardState>,
}

impl Store {
    /// Opens the directory, or makes it `fresh`'s own if it is empty. Takes its lock. If it is refused,
    /// nothing in it was changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        fresh: Identity,
        options: StoreOptions,
    ) -> StoreResult<(Self, Opened, BTreeMap<u32, RecoveredGroup>)> {
        disk.lock()?;
        let opened = Self::open_locked(disk.clone(), fresh, options);
        if opened.is_err() {
            disk.unlock();
        }
        opened
    }

    /// A group as of the newest checkpoint, read from the disk; empty if there is none.
    pub fn checkpointed(&self, group: u32) -> StoreResult<RecoveredGroup> {
        let manifest = self.inside().manifest.clone();
        let mut groups = restore(&*self.disk, &self.identity, &manifest)?;
        Ok(groups.remove(&group).unwrap_or_default())
    }

    /// Where the newest checkpoint of a group stands; 0: there is none.
    pub fn checkpoint_index(&self, group: u32) -> u64 {
        let inside = self.inside();
        let mut marks = inside.manifest.groups.iter();
        let mark = marks.find(|mark| mark.group == group);
        mark.map_or(0, |mark| mark.applied_index)
    }

    fn open_locked(
        disk: Arc<dyn Disk>,
        fresh: Identity,
        options: StoreOptions,
    ) -> StoreResult<(Self, Opened, BTreeMap<u32, RecoveredGroup>)> {
        let identity = identity_file::claim(&*disk, fresh)?;
        let manifest = Manifest::read_newest(&*disk, &identity)?;
        let created = manifest.is_none() && journal_numbers(&*disk)?.is_empty();
        let manifest = manifest.unwrap_or_else(first_manifest);
        let segments = open_segments(&*disk, &identity, &manifest)?;
        let mut groups = restore(&*disk, &identity, &manifest)?;
        let (mut journal, replay) = if created {
            (
                Journal::create(&*disk, identity, options.journal)?,
                Replay::default(),
            )
        } else {
            Journal::read(&*disk, identity, options.journal, manifest.journal)?
        };
        forget_dropped(&mut journal, &manifest.imports);
        check_logs(&journal, &mut groups)?;
        let marks = resume_imports(&mut journal, &manifest.imports, &mut groups);
        journal.make_ready(&*disk)?;
        journal.submit(marks);
        // How it voted is remembered all the same.
        for mark in manifest.imports.iter().filter(|mark| mark.is_drop()) {
            if manifest.groups.iter().all(|held| held.group != mark.group) {
                groups.remove(&mark.group);
            }
        }
        clean(&*disk, &manifest, &replay, &options)?;
        let opened = Opened {
            created,
            replay,
            checkpoint: manifest.number,
            rebuilt: segments
                .iter()
                .filter(|s| s.rebuilt)
                .map(|s| s.number)
                .collect(),
        };
        let handle = JournalHandle::new(disk.clone(), journal)?;
        let store = Self::assemble(disk, identity, options, handle, manifest, segments);
        store.space.check(&*store.disk)?;
        Ok((store, opened, groups))
    }
}

fn first_manifest() -> Manifest {
    Manifest {
        journal: Expected::default(),
        next_segment: 1,
        next_blocks: 1,
        ..Manifest::default()
    }
}

/// The segments a manifest names, each as long and with as many runs as it says.
pub fn open_segments(
    disk: &dyn Disk,
    identity: &Identity,
    manifest: &Manifest,
) -> StoreResult<SegmentSet> {
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for mark in &manifest.segments {
        let name = segment_name(mark.number);
        let damage = |position, what: String| Damage::new(&name, position, what, REMEDY_COPY);
        if let Err(error) = disk.open(&name) {
            if error.fault == DiskFault::NotFound {
                return Err(damage(0, "the file is missing".to_owned()).into());
            }
        }
        let segment = Segment::open(disk, identity, mark.number)?;
        if segment.size != mark.size {
            let what = format!(
                "{} bytes where the manifest says {}",
                segment.size, mark.size
            );
            return Err(damage(segment.size.min(mark.size), what).into());
        }
        if segment.runs.len() != mark.run_count as usize {
            let end = segment.runs.last().map_or(0, |run| run.position + run.size);
            let (runs, said) = (segment.runs.len(), mark.run_count);
            return Err(damage(end, format!("{runs} runs where the manifest says {said}")).into());
        }
        segments.push(Arc::new(segment));
    }
    Ok(SegmentSet::new(segments, &manifest.imports))
}

/// The shards' states as of the newest checkpoint.
pub fn restore(
    disk: &dyn Disk,
    identity: &Identity,
    manifest: &Manifest,
) -> StoreResult<BTreeMap<u32, RecoveredGroup>> {
    let mut groups = BTreeMap::new();
    for mark in &manifest.groups {
        let group = RecoveredGroup {
            conf: mark.conf.clone(),
            ..RecoveredGroup::default()
        };
        groups.insert(mark.group, group);
    }
    let damage = |what: String| Damage::new(&manifest_name(manifest.number), 0, what, REMEDY_COPY);
    for (key, content) in read_blocks(disk, identity, &manifest.blocks)? {
        let BlockKey { group, .. } = key;
        let Some(recovered) = groups.get_mut(&group) else {
            return Err(
                damage(format!("there are blocks of group {group}, which it lacks")).into(),
            );
        };
        restore_block(&mut recovered.state, &key, &content)
            .map_err(|what| damage(format!("a block of group {group}: {what}")))?;
    }
    for mark in &manifest.groups {
        let applied = groups[&mark.group].state.applied_index;
        if applied != mark.applied_index {
            let what = format!(
                "group {} stands at {applied}, not at {}",
                mark.group, mark.applied_index
            );
            return Err(damage(what).into());
        }
    }
    Ok(groups)
}

/// Each group's log must go on where its checkpoint stands.
fn check_logs(journal: &Journal, groups: &mut BTreeMap<u32, RecoveredGroup>) -> StoreResult<()> {
    for (group, log) in journal.index().groups() {
        let recovered = groups.entry(group).or_default();
        recovered.hard_state = Some(log.hard_state);
        let applied = recovered.state.applied_index;
        if log.first_index() > applied + 1 {
            let what = format!(
                "group {group} was checkpointed at {applied} and its log begins at {}",
                log.first_index()
            );
            return Err(Damage::new("journal", 0, what, REMEDY_COPY).into());
        }
    }
    Ok(())
}

/// Takes away what an interrupted cycle left: nothing that a readable manifest names.
fn clean(
    disk: &dyn Disk,
    manifest: &Manifest,
    replay: &Replay,
    options: &StoreOptions,
) -> StoreResult<()> {
    let journal = &options.journal;
    recycle(
        disk,
        &SpareFiles::default(),
        &replay.obsolete,
        journal.file_size,
        journal.spare_count + 2,
    )?;
    let segments = manifest.segments.iter().map(|mark| mark.number);
    let blocks = manifest.blocks.iter().map(|mark| mark.number);
    for (stem, named) in [
        (SEGMENT, segments.collect::<Vec<_>>()),
        (BLOCKS, blocks.collect()),
    ] {
        for number in numbered_files(disk, stem)? {
            if !named.contains(&number) {
                disk.remove(&numbered_name(stem, number))?;
            }
        }
    }
    disk.sync_dir()?;
    Ok(())
}
