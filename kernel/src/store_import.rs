//! A group's state from a peer becomes this store's newest of it, in one durable step.
//!
//! The step is a manifest that names the snapshot's segments and a blocks file of its state, and remembers
//! where the snapshot stands. Raft hears of the snapshot only afterwards, so a start may find the group's
//! log as it was before. Then Raft's own rule decides: a log that holds the snapshot's last entry goes on
//! after it; any other says nothing that the snapshot does not say, and is given up. That it was is written
//! before anything else of the group, so that what comes after is never taken for a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::{blocks_name, BlocksWriter};
use crate::cycle::{remove, segment_mark};
use crate::damage::StoreResult;
use crate::frozen::{all_blocks, encode_block, reset_key};
use crate::group_record::{GroupRecord, HardState};
use crate::journal::Journal;
use crate::manifest::{BlocksMark, GroupMark, ImportMark, Manifest};
use crate::raft_conf::Conf;
use crate::raft_log::Position;
use crate::raft_ready::ReceivedSnapshot;
use crate::segment::{Segment, SegmentReader, SegmentSet};
use crate::shard_state::ShardState;
use crate::store::{live_of, Store};
use crate::store_open::{restore, RecoveredGroup};

/// A snapshot whose segments are written and synced, and no part of the store yet.
pub struct Imported {
    pub group: u32,
    pub position: Position,
    pub conf: Conf,
    pub state: ShardState,
    pub segments: Vec<Segment>,
}

/// What came of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    Now,
    /// The same snapshot is in place already: nothing was done.
    Before,
    /// The store has a newer state: nothing was done.
    Never,
}

/// What becomes of a group.
struct Change<'a> {
    group: u32,
    /// None: nothing of it stays.
    state: Option<&'a ShardState>,
    position: Position,
    conf: Vec<u8>,
    segments: Vec<Segment>,
}

impl Store {
    /// Makes it the newest state of its group. After an error for lack of room nothing was done; any other
    /// is final.
    pub fn install_import(&self, imported: Imported) -> StoreResult<Installed> {
        self.install(|| {
            let manifest = self.inside().manifest.clone();
            let mut marks = manifest.groups.iter();
            let known = marks.find(|mark| mark.group == imported.group);
            let known = known.map_or(Position::default(), |mark| Position {
                index: mark.applied_index,
                term: mark.applied_term,
            });
            if known == imported.position {
                return Ok(Installed::Before);
            }
            if known.index >= imported.position.index {
                return Ok(Installed::Never);
            }
            let change = Change {
                group: imported.group,
                state: Some(&imported.state),
                position: imported.position,
                conf: imported.conf.encode(),
                segments: imported.segments,
            };
            self.change(manifest, change).map(|()| Installed::Now)
        })
    }

    /// Forgets all of a group but how it voted: this node has no part in it any more. Its shard must be
    /// gone, or take nothing in (`Shard::let_go`). Should the node join it again, a snapshot comes first. After an error for lack of room nothing
    /// was done; any other is final.
    pub fn drop_group(&self, group: u32) -> StoreResult<()> {
        self.install(|| {
            let manifest = self.inside().manifest.clone();
            let change = Change {
                group,
                state: None,
                position: Position::default(),
                conf: Vec::new(),
                segments: Vec::new(),
            };
            self.change(manifest, change)?;
            self.inside().changes.remove(&group);
            Ok(())
        })
    }

    /// One durable step: what the group was before goes, and is what `change` says.
    fn change(&self, mut manifest: Manifest, change: Change<'_>) -> StoreResult<()> {
        let number = manifest.next_blocks;
        let written = self.write_state(number, &change).and_then(|blocks| {
            self.name(&mut manifest, &change, blocks);
            manifest.write(&*self.disk, &self.identity)?;
            Ok(())
        });
        if let Err(error) = written {
            // Else it is not known what got through. What can't be removed is made anew under the
            // same number.
            if error.is_no_space() {
                let _ = remove(&*self.disk, &blocks_name(number));
            }
            return Err(error);
        }
        self.put_in_place(manifest, change);
        Ok(())
    }

    /// A blocks file with all of the group's state and nothing of what was there.
    fn write_state(&self, number: u64, change: &Change<'_>) -> StoreResult<BlocksMark> {
        let mut writer = BlocksWriter::create(&*self.disk, &self.identity, number)?;
        writer.add(&reset_key(change.group), None)?;
        if let Some(state) = change.state {
            let mut content = Vec::new();
            for key in all_blocks(change.group, state) {
                content.clear();
                encode_block(state, &key, &mut content);
                writer.add(&key, Some(&content))?;
            }
        }
        let blocks = writer.finish()?;
        self.disk.sync_dir()?;
        Ok(blocks)
    }

    /// What the manifest says once that is in place.
    fn name(&self, manifest: &mut Manifest, change: &Change<'_>, blocks: BlocksMark) {
        let Change {
            group, position, ..
        } = *change;
        manifest.number += 1;
        manifest.next_blocks += 1;
        manifest.next_segment = self.numbers.next();
        manifest.blocks.push(blocks);
        manifest.groups.retain(|mark| mark.group != group);
        if change.state.is_some() {
            manifest.groups.push(GroupMark {
                group,
                applied_index: position.index,
                applied_term: position.term,
                conf: change.conf.clone(),
            });
            manifest.groups.sort_unstable_by_key(|mark| mark.group);
        }
        let marks = change.segments.iter().map(segment_mark);
        manifest.segments.extend(marks);
        manifest.segments.sort_unstable_by_key(|mark| mark.number);
        let mut own: Vec<u64> = change.segments.iter().map(|s| s.number).collect();
        own.sort_unstable();
        manifest.imports.retain(|mark| mark.group != group);
        manifest.imports.push(ImportMark {
            group,
            position,
            below: manifest.next_segment,
            segments: own,
        });
    }

    /// The manifest is durable: readers and cycles go by it from here on.
    fn put_in_place(&self, manifest: Manifest, change: Change<'_>) {
        let Change {
            group,
            position,
            segments,
            ..
        } = change;
        let made: Vec<Arc<Segment>> = segments.into_iter().map(Arc::new).collect();
        let held = self.inside().segments.clone();
        let all = held.iter().chain(&made).cloned();
        let set = Arc::new(SegmentSet::new(all, &manifest.imports));
        let mut live = self.live();
        let mut released = 0;
        for segment in held.iter() {
            for ((number, run), _) in live_of(segment) {
                let is_replaced = segment.runs[run as usize].group == group;
                if let Some(count) = live.get_mut(&(number, run)).filter(|_| is_replaced) {
                    released += std::mem::take(count);
                }
            }
        }
        live.extend(made.iter().flat_map(|segment| live_of(segment)));
        let total = live.values().sum();
        drop(live);
        self.note_released(released);
        let mut inside = self.inside();
        inside.install(manifest, set.clone());
        inside.note_live(total);
        drop(inside);
        *self.reader() = SegmentReader::new(self.disk.clone(), self.identity, set);
        self.pins.revoke(group);
        self.journal
            .with(|journal| journal.begin_after(group, position));
    }

    /// A group as the store has it now, for a shard that starts anew while the store is open. All that was
    /// submitted of it must be synced.
    pub fn recovered(&self, group: u32) -> StoreResult<RecoveredGroup> {
        let _stepping = self.stepping();
        let manifest = self.inside().manifest.clone();
        let mut groups = BTreeMap::new();
        if manifest.groups.iter().any(|mark| mark.group == group) {
            groups = restore(&*self.disk, &self.identity, &manifest)?;
            groups.retain(|held, _| *held == group);
        }
        let mut imports = manifest.imports;
        imports.retain(|mark| mark.group == group);
        let marks = self.journal.with(|journal| {
            let log = journal.index().group(group);
            let hard_state = log.map(|log| log.hard_state);
            groups.entry(group).or_default().hard_state = hard_state;
            resume_imports(journal, &imports, &mut groups)
        });
        self.journal.submit(marks);
        Ok(groups.remove(&group).unwrap_or_default())
    }
}

/// Gives up the logs of groups that were dropped.
pub fn forget_dropped(journal: &mut Journal, imports: &[ImportMark]) {
    for mark in imports.iter().filter(|mark| mark.is_drop()) {
        journal.begin_after(mark.group, mark.position);
    }
}

/// What imports mean for the logs that the journal holds, once those are known to go on where their
/// checkpoints stand. Answers what is to be written before anything else.
pub fn resume_imports(
    journal: &mut Journal,
    imports: &[ImportMark],
    groups: &mut BTreeMap<u32, RecoveredGroup>,
) -> Vec<GroupRecord> {
    let marks = imports.iter().filter_map(|mark| {
        if mark.is_drop() {
            return None;
        }
        let recovered = groups.get_mut(&mark.group)?;
        resume_import(journal, mark, recovered)
    });
    marks.collect()
}

fn resume_import(
    journal: &mut Journal,
    mark: &ImportMark,
    recovered: &mut RecoveredGroup,
) -> Option<GroupRecord> {
    let ImportMark {
        group, position, ..
    } = *mark;
    let log = journal.index().group(group).filter(|log| !log.is_empty());
    let goes_on = log.is_some_and(|log| log.first_index() > position.index);
    let holds = log.is_some_and(|log| log.holds(position));
    if goes_on || recovered.state.applied_index != position.index && !holds {
        // If what was applied after the snapshot is in no log, that is for Raft to refuse.
        return None;
    }
    journal.begin_after(group, position);
    if holds {
        return None;
    }
    // It never voted in a term that it had not heard of.
    let known = recovered.hard_state.unwrap_or_default();
    let is_older = known.term < position.term;
    let hard_state = HardState {
        term: known.term.max(position.term),
        vote: if is_older { 0 } else { known.vote },
        commit: position.index,
    };
    recovered.hard_state = Some(hard_state);
    let conf = Conf::decode(&recovered.conf).unwrap_or_default();
    Some(GroupRecord {
        group,
        hard_state: Some(hard_state),
        entries: vec![ReceivedSnapshot::mark(position, &conf)],
    })
}
