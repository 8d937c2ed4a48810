//! Limits of one program, and the kernel's resource limits that follow from them.

use std::time::Duration;

/// What one program may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of the program and its children together.
    pub cpu: Duration,
    /// Time by the clock, without the time in which other programs kept the machine's processors.
    pub wall: Duration,
    /// Memory of all its processes together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads at one time.
    pub processes: u32,
    /// Size of one file, and of all files in `/tmp` together, in bytes.
    pub file_bytes: u64,
    /// Bytes on standard output.
    pub output_bytes: usize,
}

impl Limits {
    /// Limits of a program that may compute for `seconds`; by the clock it has twice as long and a second more.
    pub fn of_seconds(seconds: f64) -> Self {
        let cpu = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(6));
        Self {
            cpu,
            wall: cpu * 2 + Duration::from_secs(1),
            memory_bytes: 1 << 30,
            processes: 64,
            file_bytes: 64 << 20,
            output_bytes: 16 << 20,
        }
    }
}

/// Whether this process is root of the whole machine, on whose processes the kernel sets no limit, rather than of a
/// user namespace. When in doubt it is.
pub(super) fn is_global_root() -> bool {
    // SAFETY: the call cannot fail and touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return false;
    }
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return true };
    let outside = map.split_ascii_whitespace().nth(1).and_then(|id| id.parse::<u32>().ok());
    outside.is_none_or(|id| id == 0)
}

/// Whether the kernel counts processes for each user namespace, as it does from Linux 5.14 on. Before, a limit counted
/// all processes of the user wherever they run: useless for a sandbox.
pub(super) fn kernel_counts_per_namespace() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    at_least(&release, (5, 14))
}

fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= wanted
}

/// The kernel's limits: which, soft, hard. `own_namespace` says that the count of processes is the sandbox's own.
///
/// Memory is limited as private writable memory (`RLIMIT_DATA`), not as address space, which Go, Java and V8 reserve by
/// the terabyte. No value exceeds what this process may set.
pub(super) fn resource_limits(limits: &Limits, own_namespace: bool) -> Vec<(i32, u64, u64)> {
    const STACK: u64 = 64 << 20;
    let cpu = limits.cpu.as_secs() + u64::from(limits.cpu.subsec_nanos() > 0);
    let mut wanted = vec![
        (libc::RLIMIT_CORE, 0, 0),
        (libc::RLIMIT_CPU, cpu.max(1), cpu.max(1) + 1),
        (libc::RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes),
        (libc::RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (libc::RLIMIT_NOFILE, 256, 256),
        (libc::RLIMIT_STACK, STACK, STACK.max(limits.memory_bytes)),
        (libc::RLIMIT_MSGQUEUE, 0, 0),
    ];
    if own_namespace {
        wanted.push((libc::RLIMIT_NPROC, limits.processes.into(), limits.processes.into()));
    }
    wanted
        .into_iter()
        .map(|(which, soft, hard)| {
            let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: fills a struct of this stack frame.
            let known = unsafe { libc::getrlimit(which, &raw mut now) } == 0;
            let allowed = if known { now.rlim_max } else { u64::MAX };
            (which as i32, soft.min(allowed), hard.min(allowed))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_as_numbers() {
        assert!(at_least("6.18.44-fc-v595", (5, 14)));
        assert!(at_least("5.14.0-503.el9", (5, 14)));
        assert!(!at_least("5.4.0-200-generic", (5, 14)));
        assert!(!at_least("", (5, 14)));
    }
}
