//! UTF-8 checked as it comes (RFC 3629): a character may be cut anywhere.

use std::str::from_utf8;

/// How far into a character some text has come. The default is between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// Bytes of the character that are to come.
    left: u8,
    /// The next of them is within these: E0, ED, F0 and F4 leave less than all.
    low: u8,
    high: u8,
}

impl Utf8 {
    /// No character is begun.
    pub fn is_whole(self) -> bool {
        self.left == 0
    }

    /// Goes on with `data`.
    ///
    /// # Errors
    /// The place of the first byte that cannot be where it is. Nothing may be asked after that.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while !self.is_whole() && at < data.len() {
            self.step(data[at]).ok_or(at)?;
            at += 1;
        }
        let Err(error) = from_utf8(&data[at..]) else {
            return Ok(());
        };
        for (place, byte) in data.iter().enumerate().skip(at + error.valid_up_to()) {
            self.step(*byte).ok_or(place)?;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        if self.left > 0 {
            if !(self.low..=self.high).contains(&byte) {
                return None;
            }
            (self.left, self.low, self.high) = (self.left - 1, 0x80, 0xBF);
            return Some(());
        }
        (self.left, self.low, self.high) = match byte {
            0..=0x7F => (0, 0, 0),
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return None,
        };
        Some(())
    }
}

/// Whether `data` may begin a text of its own: it doesn't go on with a character.
pub fn begins_character(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes at the edges of the ranges, and two that are in the middle of some.
    const EDGES: [u8; 21] = [
        0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
        0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF,
    ];

    fn whole(data: &[u8], cut: usize) -> bool {
        let mut utf8 = Utf8::default();
        let (first, second) = data.split_at(cut);
        utf8.receive(first).is_ok() && utf8.receive(second).is_ok() && utf8.is_whole()
    }

    #[test]
    fn it_says_what_the_standard_library_says_however_it_is_cut() {
        for number in 0..EDGES.len().pow(4) {
            let digit = |place: u32| EDGES[number / EDGES.len().pow(place) % EDGES.len()];
            let data = [digit(0), digit(1), digit(2), digit(3)];
            for size in 1..=4 {
                let data = &data[..size];
                let expected = from_utf8(data).is_ok();
                for cut in 0..=size {
                    assert_eq!(whole(data, cut), expected, "{data:x?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn the_place_of_the_first_bad_byte_does_not_depend_on_cuts() {
        let data = "größer\u{20AC}".as_bytes();
        let bad = [data, b"\xE2\x82x"].concat();
        for cut in 0..=data.len() + 2 {
            let mut utf8 = Utf8::default();
            utf8.receive(&bad[..cut]).expect("good so far");
            assert_eq!(utf8.receive(&bad[cut..]), Err(data.len() + 2 - cut));
        }
    }
}
