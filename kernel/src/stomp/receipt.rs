//! Receipts: which messages of a run ask for which, and the RECEIPT frames that are owed, in the order their frames came.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::stomp::frame::END;
use crate::stomp::header::put_line;

/// The receipts that the messages of one run ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendReceipts {
    ids: Vec<u8>,
    /// Of each: which message, and where in `ids` its id ends.
    places: Vec<(u32, u32)>,
}

impl SendReceipts {
    pub fn reserve(&mut self, count: usize, size: usize) {
        self.places.reserve(count);
        self.ids.reserve(size);
    }

    /// Indexes ascend.
    #[inline]
    pub fn push(&mut self, index: usize, id: &[u8]) {
        self.ids.extend_from_slice(id);
        self.places.push((index as u32, self.ids.len() as u32));
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Which message asks for the receipt `number`.
    pub fn index(&self, number: usize) -> u32 {
        self.places[number].0
    }

    pub fn id(&self, number: usize) -> &[u8] {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.places[before].1);
        &self.ids[start as usize..self.places[number].1 as usize]
    }

    /// The first receipt that the message `index`, or one after it, asks for.
    fn first_from(&self, index: u64) -> usize {
        self.places
            .partition_point(|place| u64::from(place.0) < index)
    }
}

/// What one frame, or one run of SENDs, is owed.
#[derive(Debug)]
struct Owed {
    receipts: Arc<SendReceipts>,
    /// Whether each is due.
    due: Vec<bool>,
    /// So many of them are given.
    taken: usize,
    /// The first message's tag; none of those that await no confirm.
    first_tag: Option<u64>,
    /// Past the tags of this and of all before.
    tag_end: u64,
}

impl Owed {
    /// Which receipts await a confirm of these tags.
    fn awaiting(&self, first: u64, last: u64) -> std::ops::Range<usize> {
        let Some(base) = self.first_tag.filter(|base| *base <= last) else {
            return 0..0;
        };
        let begin = self.receipts.first_from(first.saturating_sub(base));
        let end = self.receipts.first_from((last - base).saturating_add(1));
        begin.max(self.taken)..end.max(self.taken)
    }
}

/// RECEIPT frames that are owed.
#[derive(Debug)]
pub struct Receipts {
    version: u8,
    owed: VecDeque<Owed>,
    /// The number of the first.
    first: u64,
    count: usize,
}

impl Receipts {
    pub fn new(version: u8) -> Self {
        Self {
            version,
            owed: VecDeque::new(),
            first: 0,
            count: 0,
        }
    }

    /// A run came; with `first_tag` its messages await a confirm, else their receipts are due.
    ///
    /// # Errors
    /// A tag is not larger than all before. Nothing is changed.
    pub fn add_sends(
        &mut self,
        receipts: &Arc<SendReceipts>,
        first_tag: Option<u64>,
    ) -> Result<(), &'static str> {
        let Some(last) = receipts.len().checked_sub(1) else {
            return Ok(());
        };
        let mut tag_end = self.tag_end();
        if let Some(tag) = first_tag {
            if tag + u64::from(receipts.index(0)) < tag_end {
                return Err("tags ascend");
            }
            tag_end = tag + u64::from(receipts.index(last)) + 1;
        }
        self.push(receipts.clone(), first_tag, tag_end, first_tag.is_none());
        Ok(())
    }

    /// Another frame came; its number, for `finish`.
    pub fn add(&mut self, id: &[u8]) -> u64 {
        let mut receipts = SendReceipts::default();
        receipts.push(0, id);
        self.push(Arc::new(receipts), None, self.tag_end(), false);
        self.first + self.owed.len() as u64 - 1
    }

    fn tag_end(&self) -> u64 {
        self.owed.back().map_or(0, |owed| owed.tag_end)
    }

    fn push(
        &mut self,
        receipts: Arc<SendReceipts>,
        first_tag: Option<u64>,
        tag_end: u64,
        due: bool,
    ) {
        self.count += receipts.len();
        self.owed.push_back(Owed {
            due: vec![due; receipts.len()],
            receipts,
            taken: 0,
            first_tag,
            tag_end,
        });
    }

    /// What `add` gave this number is due.
    ///
    /// # Errors
    /// There is no such frame, or it was said before.
    pub fn finish(&mut self, number: u64) -> Result<(), &'static str> {
        let at = number.checked_sub(self.first).map(|at| at as usize);
        match at.and_then(|at| self.owed.get_mut(at)) {
            Some(owed) if owed.first_tag.is_none() && !owed.due[0] => {
                owed.due[0] = true;
                Ok(())
            }
            _ => Err("no such frame awaits its end"),
        }
    }

    /// The first run that may hold this tag or a later one.
    fn first_with(&self, first: u64) -> usize {
        self.owed.partition_point(|owed| owed.tag_end <= first)
    }

    /// Messages with these tags are safe; tags that nobody waits for are passed over.
    pub fn confirm(&mut self, first: u64, last: u64) {
        let begin = self.first_with(first);
        for owed in self.owed.range_mut(begin..) {
            if owed.first_tag.is_some_and(|base| base > last) {
                break;
            }
            let confirmed = owed.awaiting(first, last);
            owed.due[confirmed].fill(true);
        }
    }

    /// Messages with these tags are refused: what the first of them asked as its receipt, if one did. It stays owed.
    pub fn reject(&self, first: u64, last: u64) -> Option<&[u8]> {
        let runs = self.owed.range(self.first_with(first)..);
        runs.take_while(|owed| owed.first_tag.is_none_or(|base| base <= last))
            .find_map(|owed| {
                let mut waiting = owed.awaiting(first, last);
                let number = waiting.find(|number| !owed.due[*number])?;
                Some(owed.receipts.id(number))
            })
    }

    /// RECEIPT frames of those at the head that are due.
    pub fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(owed) = self.owed.front_mut() {
            while owed.due.get(owed.taken) == Some(&true) {
                out.extend_from_slice(b"RECEIPT\n");
                let id = owed.receipts.id(owed.taken);
                put_line(&mut out, b"receipt-id", id, self.version);
                out.push(b'\n');
                out.extend_from_slice(END);
                owed.taken += 1;
                self.count -= 1;
            }
            if owed.taken < owed.due.len() {
                break;
            }
            self.owed.pop_front();
            self.first += 1;
        }
        out
    }

    /// How many are owed.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(receipts: &[(usize, &str)]) -> Arc<SendReceipts> {
        let mut all = SendReceipts::default();
        for (index, id) in receipts {
            all.push(*index, id.as_bytes());
        }
        Arc::new(all)
    }

    fn taken(receipts: &mut Receipts) -> Vec<String> {
        let wire = String::from_utf8(receipts.take()).unwrap();
        let frames = wire.split_terminator("\0\n");
        frames
            .map(|frame| {
                let id = frame.strip_prefix("RECEIPT\nreceipt-id:").unwrap();
                id.strip_suffix("\n\n").unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn what_is_confirmed_early_waits_for_those_before() {
        let mut receipts = Receipts::new(12);
        receipts
            .add_sends(&sends(&[(0, "a"), (2, "b")]), Some(1))
            .unwrap();
        let number = receipts.add(b"sub");
        receipts
            .add_sends(&sends(&[(1, "c"), (2, "d")]), Some(4))
            .unwrap();
        receipts.add_sends(&sends(&[(5, "e")]), None).unwrap();
        assert_eq!(receipts.len(), 6);
        receipts.confirm(2, 5);
        assert_eq!(taken(&mut receipts), [""; 0]);
        receipts.confirm(1, 1);
        assert_eq!(taken(&mut receipts), ["a", "b"]);
        receipts.finish(number).unwrap();
        assert!(receipts.finish(number).is_err());
        assert_eq!(taken(&mut receipts), ["sub", "c"]);
        assert_eq!(receipts.reject(1, 100), Some(&b"d"[..]));
        assert_eq!(receipts.reject(1, 5), None);
        assert_eq!(taken(&mut receipts), [""; 0]);
        receipts.confirm(6, u64::MAX);
        assert_eq!(taken(&mut receipts), ["d", "e"]);
        assert!(receipts.is_empty());
        assert!(receipts.finish(number).is_err());
        assert!(receipts.finish(7).is_err());
    }

    #[test]
    fn tags_ascend_and_ids_are_escaped() {
        let mut receipts = Receipts::new(12);
        receipts.add_sends(&sends(&[(3, "a:\n")]), Some(1)).unwrap();
        assert!(receipts.add_sends(&sends(&[(0, "b")]), Some(4)).is_err());
        receipts.add_sends(&sends(&[]), Some(1)).unwrap();
        receipts.add_sends(&sends(&[(1, "b")]), Some(4)).unwrap();
        receipts.confirm(0, 5);
        assert_eq!(taken(&mut receipts), ["a\\c\\n", "b"]);
    }

    #[test]
    fn a_number_stays_its_frames() {
        let mut receipts = Receipts::new(10);
        let numbers: Vec<u64> = (0..3).map(|_| receipts.add(b"x")).collect();
        receipts.finish(numbers[1]).unwrap();
        assert!(receipts.take().is_empty());
        receipts.finish(numbers[0]).unwrap();
        assert_eq!(taken(&mut receipts).len(), 2);
        receipts.finish(numbers[2]).unwrap();
        assert_eq!(taken(&mut receipts).len(), 1);
        assert_eq!(receipts.add(b"y"), 3);
    }
}
