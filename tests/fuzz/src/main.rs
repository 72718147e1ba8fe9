//! Coverage-guided fuzzing of the AMQP, MQTT, STOMP and WebSocket decoders (and of what their messages are handed to).
//!
//! ```text
//! cd tests/fuzz && cargo run --release -- [--mqtt | --stomp | --web] [--seconds 60] [--seed N] [--keep] [FILE...]
//! ```
//! Starts from `tests/kernel/corpus/amqp`, `mqtt`, `stomp` or `web`, whose files are whole streams from the first byte on; an
//! input that takes an edge (or takes one more often) that none before took joins the corpus. `--keep`
//! writes those that are worth it back. An input that breaks a law is written to `target/fuzz/broken`,
//! and named; `FILE` checks it again. Only the stable compiler is needed: the flags in
//! `.cargo/config.toml` have LLVM count edges.

#![allow(dead_code)] // of the kernel's files, not all is used here

mod coverage;
mod law;
mod mqtt_law;
mod mutation;
mod stomp_law;
mod web_law;

#[path = "../../../kernel/src/amqp/mod.rs"]
mod amqp;
#[path = "../../../kernel/src/conversion/mod.rs"]
mod conversion;
#[path = "../../../kernel/src/decoder.rs"]
mod decoder;
#[path = "../../../kernel/src/delivery_run.rs"]
mod delivery_run;
#[path = "../../../kernel/src/message_run.rs"]
mod message_run;
#[path = "../../../kernel/src/mqtt/mod.rs"]
mod mqtt;
#[path = "../../../kernel/src/run_builder.rs"]
mod run_builder;
#[path = "../../../kernel/src/stomp/mod.rs"]
mod stomp;
#[path = "../../../kernel/src/web/mod.rs"]
mod web;

use std::panic::{catch_unwind, set_hook};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coverage::Seen;
use mutation::{Framing, Random};

struct Options {
    framing: Framing,
    duration: Duration,
    seed: u64,
    keep: bool,
    files: Vec<PathBuf>,
}

fn options() -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut options = Options {
        framing: Framing::Amqp,
        duration: Duration::from_secs(60),
        seed: now.map_or(1, |since| since.as_nanos() as u64),
        keep: false,
        files: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u64>()
                .map_err(|_| format!("{argument} {text:?}: not a number"))
        };
        match argument.as_str() {
            "--seconds" => options.duration = Duration::from_secs(number()?),
            "--seed" => options.seed = number()?,
            "--mqtt" => options.framing = Framing::Mqtt,
            "--stomp" => options.framing = Framing::Stomp,
            "--web" => options.framing = Framing::Web,
            "--keep" => options.keep = true,
            file => options.files.push(file.into()),
        }
    }
    Ok(options)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read_corpus(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

/// Whether the input keeps the laws; what it covers is counted.
fn holds(input: &[u8], framing: Framing) -> bool {
    coverage::reset();
    catch_unwind(|| check(input, framing)).is_ok()
}

fn check(input: &[u8], framing: Framing) {
    match framing {
        Framing::Amqp => law::check(input),
        Framing::Mqtt => mqtt_law::check(input),
        Framing::Stomp => stomp_law::check(input),
        Framing::Web => web_law::check(input),
    }
}

fn report(input: &[u8]) -> std::io::Result<ExitCode> {
    let folder = root().join("target/fuzz/broken");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{:016x}", hash(input)));
    std::fs::write(&path, input)?;
    println!("a law is broken: {}", path.display());
    Ok(ExitCode::FAILURE)
}

/// FNV-1a, for names of files.
fn hash(input: &[u8]) -> u64 {
    input.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn fuzz(options: &Options, folder: &Path) -> std::io::Result<ExitCode> {
    let Some(mut seen) = Seen::new() else {
        println!("not instrumented: run it from tests/fuzz, where .cargo/config.toml is");
        return Ok(ExitCode::FAILURE);
    };
    let mut corpus = Vec::new();
    for input in read_corpus(folder)? {
        if !holds(&input, options.framing) {
            return report(&input);
        }
        if seen.receive() {
            corpus.push(input);
        }
    }
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    let (first_count, first_edges) = (corpus.len(), seen.edge_count());
    let mut random = Random::new(options.seed);
    let (start, mut count) = (Instant::now(), 0u64);
    while start.elapsed() < options.duration {
        for _ in 0..256 {
            // The newer an input, the likelier it is at the edge of what is known.
            let newest = random.below(corpus.len()).max(random.below(corpus.len()));
            let other = random.below(corpus.len());
            let (from, other) = (&corpus[newest], &corpus[other]);
            let input = mutation::mutate(from, other, options.framing, &mut random);
            if !holds(&input, options.framing) {
                return report(&input);
            }
            if seen.receive() {
                corpus.push(input);
            }
            count += 1;
        }
    }
    println!(
        "{count} inputs in {} s, seed {}: {first_edges} -> {} edges, corpus {first_count} -> {}; all laws hold",
        start.elapsed().as_secs(),
        options.seed,
        seen.edge_count(),
        corpus.len()
    );
    if options.keep {
        keep(corpus, options.framing, folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the smallest inputs that together take every edge.
fn keep(mut corpus: Vec<Vec<u8>>, framing: Framing, folder: &Path) -> std::io::Result<()> {
    corpus.sort_by_key(Vec::len);
    let mut seen = Seen::new().expect("it is instrumented");
    for input in corpus {
        let edges = seen.edge_count();
        holds(&input, framing);
        seen.receive();
        if seen.edge_count() > edges {
            std::fs::write(folder.join(format!("{:016x}", hash(&input))), &input)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    if !options.files.is_empty() {
        for file in &options.files {
            let input = std::fs::read(file).expect("a file of an input");
            check(&input, options.framing);
        }
        return ExitCode::SUCCESS;
    }
    set_hook(Box::new(|panic| println!("{panic}")));
    let folder = root().join(match options.framing {
        Framing::Amqp => "tests/kernel/corpus/amqp",
        Framing::Mqtt => "tests/kernel/corpus/mqtt",
        Framing::Stomp => "tests/kernel/corpus/stomp",
        Framing::Web => "tests/kernel/corpus/web",
    });
    fuzz(&options, &folder).expect("the corpus can be read and written")
}
