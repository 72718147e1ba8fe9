//! The counters that the instrumented code counts its edges with.
//!
//! Each instrumented module hands its counters over before `main`; they lie in its memory and are
//! written by nobody else. The only unsafe code of the fuzzer.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

const REGION_COUNT_MAX: usize = 256;

static STARTS: [AtomicUsize; REGION_COUNT_MAX] = [const { AtomicUsize::new(0) }; REGION_COUNT_MAX];
static SIZES: [AtomicUsize; REGION_COUNT_MAX] = [const { AtomicUsize::new(0) }; REGION_COUNT_MAX];
static REGION_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Called by LLVM's module constructors.
#[no_mangle]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let number = REGION_COUNT.load(Ordering::Relaxed);
    let known = (0..number).any(|i| STARTS[i].load(Ordering::Relaxed) == start as usize);
    if known || start == stop || number == REGION_COUNT_MAX {
        return;
    }
    STARTS[number].store(start as usize, Ordering::Relaxed);
    SIZES[number].store(stop as usize - start as usize, Ordering::Relaxed);
    REGION_COUNT.store(number + 1, Ordering::Relaxed);
}

/// Which (edge, times taken) were seen.
pub struct Seen {
    /// For each edge, a bit for each class of counts.
    classes: Vec<u8>,
    counts: Vec<u8>,
    pub count: usize,
}

impl Seen {
    /// None: the program was built without the flags of `.cargo/config.toml`.
    pub fn new() -> Option<Self> {
        let edge_count: usize = regions().map(|(_, size)| size).sum();
        (edge_count > 0).then(|| Self {
            classes: vec![0; edge_count],
            counts: Vec::with_capacity(edge_count),
            count: 0,
        })
    }

    pub fn edge_count(&self) -> usize {
        self.classes.iter().filter(|&&classes| classes != 0).count()
    }

    /// Takes in what was counted since `reset`: whether any of it is new.
    pub fn receive(&mut self) -> bool {
        const STRIDE: usize = 16; // most counters are 0
        take_counts(&mut self.counts);
        let before = self.count;
        let classes = self.classes.chunks_mut(STRIDE);
        for (counts, classes) in self.counts.chunks(STRIDE).zip(classes) {
            if counts.iter().fold(0, |all, count| all | count) == 0 {
                continue;
            }
            for (&count, classes) in counts.iter().zip(classes) {
                let class = class_of(count);
                if *classes & class != class {
                    *classes |= class;
                    self.count += 1;
                }
            }
        }
        self.count > before
    }
}

pub fn reset() {
    for (start, size) in regions() {
        // SAFETY: LLVM gave us this range of bytes; it lives as long as the program.
        unsafe { std::ptr::write_bytes(start, 0, size) };
    }
}

fn take_counts(counts: &mut Vec<u8>) {
    counts.clear();
    for (start, size) in regions() {
        // SAFETY: as above; the room is there, and bytes of any value are counts.
        unsafe {
            counts.reserve(size);
            let end = counts.as_mut_ptr().add(counts.len());
            std::ptr::copy_nonoverlapping(start, end, size);
            counts.set_len(counts.len() + size);
        }
    }
}

fn regions() -> impl Iterator<Item = (*mut u8, usize)> {
    (0..REGION_COUNT.load(Ordering::Relaxed)).map(|number| {
        let start = STARTS[number].load(Ordering::Relaxed) as *mut u8;
        (start, SIZES[number].load(Ordering::Relaxed))
    })
}

/// 0, 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128 and more, as libFuzzer has it; 0 is no class.
fn class_of(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}
