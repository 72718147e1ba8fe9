//! The CPU time of other processes.

use std::fs;

/// Nanoseconds that the threads of all `pids` that still run have taken. One that has gone took nothing.
pub fn cpu(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| threads_cpu(*pid)).sum()
}

fn threads_cpu(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_did_is_counted() {
        let ours = [std::process::id()];
        let before = cpu(&ours);
        let mut sum = 0_u64;
        while cpu(&ours) < before + 1_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        assert_eq!(cpu(&[]), 0);
        assert_eq!(cpu(&[u32::MAX]), 0);
    }
}
