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
