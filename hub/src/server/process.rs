//! What the process itself takes, by the names that Prometheus' clients have for it. Nothing where there is no `/proc`.

use std::fs;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    pub(super) cpu_seconds: f64,
}

impl Process {
    pub(super) fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        // Nanoseconds on a CPU of each thread that is there, the first figure; those of threads that ended are in none of them, and
        // a runtime's threads stay.
        let on_cpu = |task: fs::DirEntry| -> Option<u64> {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse().ok()
        };
        let nanos: u64 = fs::read_dir("/proc/self/task").ok()?.flatten().filter_map(on_cpu).sum();
        Some(Self {
            resident_bytes: kilobytes * 1024,
            // Less the one by which it is counted.
            open_files: fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64,
            cpu_seconds: nanos as f64 / 1e9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_sees_itself() {
        let before = Process::read().expect("there is /proc");
        let files: Vec<_> =
            (0..10).map(|_| fs::File::open("/proc/self/status").expect("it is there")).collect();
        let after = Process::read().expect("there is /proc");
        assert!(before.resident_bytes > 100 << 10 && after.cpu_seconds >= before.cpu_seconds);
        assert!(after.open_files >= files.len() as u64, "{after:?}");
    }
}
