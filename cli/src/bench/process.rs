//! A process from outside, by `/proc`: the time it had on a processor, and its resident memory.

use std::{collections::HashMap, fs, io};

use super::failure::Failure;

/// Adds up the processor time of a process's threads, those that end included.
///
/// The nanosecond counters are per thread, and a thread takes its own away when it ends. So each sample adds what every
/// thread has used since the last one: the sum never falls, and what is lost is an ended thread's time since the last sample.
pub(super) struct Process {
    pid: u32,
    threads: HashMap<u32, u64>,
    cpu_nanos: u64,
}

impl Process {
    pub(super) fn watch(pid: u32) -> Result<Self, Failure> {
        let mut process = Self { pid, threads: HashMap::new(), cpu_nanos: 0 };
        process
            .sample()
            .map_err(|_| Failure::Broken(format!("cannot watch process {pid}: there is none")))?;
        Ok(process)
    }

    /// This program itself.
    pub(super) fn own() -> Result<Self, Failure> {
        Self::watch(std::process::id())
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Looks at every thread; nanoseconds used by all of them since some time before the first look.
    pub(super) fn sample(&mut self) -> Result<u64, Failure> {
        let ended = || Failure::Broken(format!("process {} has ended", self.pid));
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_err(|_| ended())?;
        if matches!(state(&stat), None | Some('Z' | 'X')) {
            return Err(ended());
        }
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).map_err(|_| ended())?;
        let mut seen = HashMap::with_capacity(self.threads.len());
        for task in tasks.flatten() {
            // A thread may end between the two looks.
            let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            if let (Some(thread), Some(nanos)) =
                (task.file_name().to_str().and_then(|name| name.parse().ok()), nanos_on_cpu(&schedstat))
            {
                seen.insert(thread, nanos);
            }
        }
        if seen.is_empty() {
            return Err(Failure::Broken(format!(
                "this system does not count processor time (no schedstat of {})",
                self.pid
            )));
        }
        self.add(seen);
        Ok(self.cpu_nanos)
    }

    fn add(&mut self, seen: HashMap<u32, u64>) {
        for (thread, nanos) in &seen {
            // A count that fell belongs to a new thread that was given an old number.
            let before = self.threads.get(thread).copied().filter(|before| before <= nanos);
            self.cpu_nanos += nanos - before.unwrap_or(0);
        }
        self.threads = seen;
    }

    /// Resident memory in bytes: exact where the kernel lets us sum up the mappings, else its running count.
    pub(super) fn rss_bytes(&self) -> Result<u64, Failure> {
        let read = |file| fs::read_to_string(format!("/proc/{}/{file}", self.pid));
        let rollup = read("smaps_rollup").ok().and_then(|rollup| kib_bytes(&rollup, "Rss:"));
        let resident = rollup.map_or_else(
            || {
                let statm = read("statm")?;
                let pages = statm_pages(&statm).ok_or(io::ErrorKind::InvalidData)?;
                io::Result::Ok(pages * rustix::param::page_size() as u64)
            },
            Ok,
        );
        resident.map_err(|_| Failure::Broken(format!("process {} has ended", self.pid)))
    }

    /// The most that was ever resident, where the kernel says so.
    pub(super) fn rss_bytes_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        kib_bytes(&status, "VmHWM:")
    }
}

/// The third field of `stat`; the second is a name in parentheses that may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// `schedstat`: nanoseconds on a processor, nanoseconds waiting for one, times it was given one.
fn nanos_on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// A line such as `Rss:   1234 kB`.
fn kib_bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// `statm`: size, resident, shared, …, in pages.
fn statm_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_hide_the_state() {
        assert_eq!(state("42 (a) Z (b c) S 1 42 42 0"), Some('S'));
        assert_eq!(state("42 (gone) Z 1"), Some('Z'));
        assert_eq!(state("42"), None);
    }

    #[test]
    fn the_first_number_of_schedstat_is_the_time_on_a_processor() {
        assert_eq!(nanos_on_cpu("123456789 42 7\n"), Some(123_456_789));
        assert_eq!(nanos_on_cpu(""), None);
        assert_eq!(nanos_on_cpu("x 1 2"), None);
    }

    #[test]
    fn resident_memory_is_read_from_either_file() {
        let rollup =
            "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:                1234 kB\nPss:    1 kB\n";
        assert_eq!(kib_bytes(rollup, "Rss:"), Some(1234 * 1024));
        assert_eq!(kib_bytes("", "Rss:"), None);
        assert_eq!(statm_pages("1000 250 30 4 0 99 0\n"), Some(250));
        assert_eq!(statm_pages("1000"), None);
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_away_and_one_that_begins_counts_whole() {
        let mut process = Process { pid: 1, threads: HashMap::new(), cpu_nanos: 0 };
        process.add(HashMap::from([(1, 1000), (2, 500)]));
        assert_eq!(process.cpu_nanos, 1500);
        process.add(HashMap::from([(1, 1100)]));
        assert_eq!(process.cpu_nanos, 1600);
        process.add(HashMap::from([(1, 1100), (3, 7)]));
        assert_eq!(process.cpu_nanos, 1607);
        // Number 3 was given to another thread.
        process.add(HashMap::from([(1, 1100), (3, 5)]));
        assert_eq!(process.cpu_nanos, 1612);
    }

    #[test]
    fn our_own_time_goes_on_and_nobody_is_found_at_zero() {
        let mut own = Process::own().expect("this process is there");
        let before = own.sample().expect("it is still there");
        let mut work = 1u64;
        let after = loop {
            work = std::hint::black_box((0..100_000).fold(work, |sum, at| sum.wrapping_mul(31) ^ at));
            let after = own.sample().expect("it is still there");
            if after > before {
                break after;
            }
        };
        assert!(after > before);
        assert!(own.rss_bytes().expect("it has memory") > 64 << 10);
        assert!(
            matches!(Process::watch(0), Err(Failure::Broken(why)) if why == "cannot watch process 0: there is none")
        );
    }
}
