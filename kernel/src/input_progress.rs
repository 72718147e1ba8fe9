//! Whether a peer that has begun something also gets on with it.
//!
//! A frame in the middle holds memory for as long as it pleases its sender; a few bytes now and then
//! would pass for signs of life. So an unfinished frame or message must grow by so much between two
//! looks. What is finished, or isn't read by our own will, is never slow.

/// How far a connection's input has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct InputProgress {
    received: u64,
    /// `received` at the last look, if something was unfinished then and hasn't been finished since.
    begun: Option<u64>,
}

impl InputProgress {
    /// Bytes came; with them something was completed or not.
    pub fn receive(&mut self, size: usize, completed: bool) {
        self.received += size as u64;
        if completed {
            self.begun = None;
        }
    }

    /// A look, some time after the last: has it grown by less than `least` bytes since? `unfinished`:
    /// something is begun at present, and is being read.
    pub fn is_slow(&mut self, unfinished: bool, least: u64) -> bool {
        if !unfinished {
            self.begun = None;
            return false;
        }
        let before = self.begun.replace(self.received);
        before.is_some_and(|before| self.received - before < least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_must_grow_between_two_looks() {
        let mut progress = InputProgress::default();
        progress.receive(5, false);
        assert!(!progress.is_slow(true, 10), "it may have begun just now");
        progress.receive(9, false);
        assert!(progress.is_slow(true, 10));
        progress.receive(10, false);
        assert!(!progress.is_slow(true, 10));
    }

    #[test]
    fn what_was_finished_between_or_is_not_read_is_not_slow() {
        let mut progress = InputProgress::default();
        progress.receive(5, false);
        assert!(!progress.is_slow(true, 10));
        progress.receive(1, true);
        assert!(!progress.is_slow(true, 10));
        assert!(!progress.is_slow(false, 10), "paused");
        assert!(!progress.is_slow(true, 10));
        assert!(progress.is_slow(true, 10));
    }
}
