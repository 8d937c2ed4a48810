//! Watching running sandboxes: their output, their time, their memory, their number of processes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::Groups;
use super::limits::Limits;
use super::process::{End, Running};
use super::result::{RunResult, Status};
use super::usage::{self, Usage};
use crate::code::CodeError;

/// How often time, memory and processes are looked at. The first look comes early, when a fork bomb is still small.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const NEXT_LOOKS: Duration = Duration::from_millis(50);
/// Programs that compute less, end sooner and stay smaller are not moved into a control group. To fill memory takes
/// processor time, whoever holds it in the end.
const LITTLE: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(2);
const SMALL: u64 = 64 << 20;
/// How many times its time by the clock a program may take at most, however busy the machine is.
pub(super) const PATIENCE: u32 = 10;
/// Bytes of standard error that are kept: the last ones, where the message of an exception is.
const KEPT_ERROR: usize = 16 << 10;

/// A started program with the ends of its streams that are ours.
pub(super) struct Watched {
    running: Running,
    limits: Limits,
    /// Where a control group for it can be had, while it is in none.
    groups: Option<Arc<Groups>>,
    /// Times per line of output rather than for the whole run, for this many lines.
    pub(super) lines: Option<usize>,
    /// Reads standard output only at looks and at the end: what comes before is of no interest until then.
    pub(super) unhurried: bool,
    stdout: Option<File>,
    stderr: Option<File>,
    out: Vec<u8>,
    err: Vec<u8>,
    started: Instant,
    /// Since when, and from which processor time on, the current line or the whole run counts.
    since: Instant,
    cpu_before: Duration,
    lines_seen: usize,
    /// The private folders, once there are any.
    folders: Option<Vec<File>>,
    /// Memory that the program's processes mapped at the last look.
    mapped: u64,
    /// The most memory of all kinds that was seen.
    peak: u64,
    /// What the kernel had killed for want of memory at the first look.
    kills_before: Option<u64>,
    cause: Option<Status>,
    result: Option<RunResult>,
}

impl Watched {
    /// Watches `running`; a stream is absent when another sandbox reads it.
    pub(super) fn new(
        running: Running,
        limits: &Limits,
        groups: Option<Arc<Groups>>,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> Result<Self, CodeError> {
        for fd in stdout.iter().chain(&stderr) {
            // SAFETY: sets a flag of an open descriptor.
            if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(CodeError::Io(std::io::Error::last_os_error()));
            }
        }
        let now = Instant::now();
        Ok(Self {
            running,
            limits: limits.clone(),
            groups,
            lines: None,
            unhurried: false,
            stdout: stdout.map(File::from),
            stderr: stderr.map(File::from),
            out: Vec::new(),
            err: Vec::new(),
            started: now,
            since: now,
            cpu_before: Duration::ZERO,
            lines_seen: 0,
            folders: None,
            mapped: 0,
            peak: 0,
            kills_before: None,
            cause: None,
            result: None,
        })
    }

    fn stop(&mut self, cause: Status) {
        self.cause.get_or_insert(cause);
        self.running.kill();
    }

    /// Reads what is there. With too much of it the program is stopped.
    fn read(&mut self) {
        if self.stdout.is_some() && !self.read_stdout() {
            self.stdout = None;
        }
        let mut chunk = [0u8; 4096];
        // A bounded number of reads: a flood on standard error must not keep us from looking at the clock.
        for _ in 0..64 {
            let Some(stream) = &mut self.stderr else { break };
            match stream.read(&mut chunk) {
                Ok(0) => self.stderr = None,
                Ok(count) => {
                    self.err.extend_from_slice(&chunk[..count]);
                    if self.err.len() > 2 * KEPT_ERROR {
                        self.err.drain(..self.err.len() - KEPT_ERROR);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.stderr = None,
            }
        }
    }

    /// Whether more may come.
    fn read_stdout(&mut self) -> bool {
        let mut chunk = [0u8; 16 << 10];
        while let Some(stream) = &mut self.stdout {
            match stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(count) => {
                    let space = self.limits.output_bytes - self.out.len();
                    self.out.extend_from_slice(&chunk[..count.min(space)]);
                    if count > space {
                        self.stop(Status::OutputExceeded);
                        return false;
                    }
                    self.count_lines(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn count_lines(&mut self, new_bytes: usize) {
        let Some(lines) = self.lines else { return };
        let seen = memchr::memchr_iter(b'\n', &self.out[self.out.len() - new_bytes..]).count();
        if seen > 0 && self.lines_seen < lines {
            self.lines_seen += seen;
            self.since = Instant::now();
            self.cpu_before = usage::of_tree(self.running.root()).cpu;
        }
    }

    /// Whether the time by the clock is up. Time in which the machine had no processor for the program does not count
    /// against it, or a busy machine would turn right programs into slow ones; but there is an end to that too.
    fn out_of_time(&self) -> bool {
        let elapsed = self.since.elapsed();
        elapsed > self.limits.wall
            && (elapsed > self.limits.wall * PATIENCE
                || elapsed.saturating_sub(usage::kept_waiting(self.running.root())) > self.limits.wall)
    }

    fn look(&mut self) {
        if self.out_of_time() {
            return self.stop(Status::TimedOut);
        }
        self.kills_before.get_or_insert_with(usage::kernel_kills);
        let now = usage::of_tree(self.running.root());
        if now.cpu.saturating_sub(self.cpu_before) > self.limits.cpu {
            self.stop(Status::TimedOut);
        } else if now.tasks > self.limits.processes + 1 {
            // The kernel refuses more than the limit; this is for a kernel that does not.
            self.stop(Status::ProcessesExceeded);
        } else {
            let memory = self.memory(&now);
            self.peak = self.peak.max(memory);
            if (memory > SMALL || now.cpu > LITTLE || self.started.elapsed() > SOON)
                && let Some(groups) = self.groups.take()
                && let Some(group) = groups.take(self.limits.memory_bytes)
            {
                self.running.enter(groups, group);
            }
            if memory > self.limits.memory_bytes {
                self.stop(Status::MemoryExceeded);
            }
        }
    }

    /// Memory in use: quickly from above where that is below the limit, else exactly.
    fn memory(&mut self, now: &Usage) -> u64 {
        let limit = self.limits.memory_bytes;
        let Some(pid) = now.any else { return 0 };
        let folders = self.folders.get_or_insert_with(|| usage::private_folders(pid));
        let unmapped = usage::file_bytes(folders) + usage::socket_bytes(pid);
        // Only in a large address space can there be more than what is resident.
        let certain = now.rss_bytes + unmapped <= limit && now.virtual_bytes <= limit;
        self.mapped = if certain { now.rss_bytes } else { usage::mapped_bytes(self.running.root()) };
        self.mapped + unmapped
    }

    fn finish(&mut self) -> Result<(), CodeError> {
        let ended = self.running.wait()?;
        self.read();
        let files = self.folders.as_deref().map_or(0, usage::file_bytes);
        let near_limit = self.peak > self.limits.memory_bytes / 2;
        // No program can kill its sandbox: somebody outside did, and the kernel, for want of memory, may have. Where the
        // program did not need much of it, that is not its doing.
        let killed = matches!(ended.end, End::Killed)
            || ended.end == End::Signalled(libc::SIGKILL)
                && self.kills_before.is_some_and(|before| usage::kernel_kills() > before);
        let status = match (self.cause, ended.end) {
            (Some(cause), _) => cause,
            (None, _) if ended.out_of_memory || killed && near_limit => Status::MemoryExceeded,
            (None, _) if killed => return Err(CodeError::OutOfMemory),
            (None, End::Exited(0)) if self.lines.is_none() && ended.cpu > self.limits.cpu => Status::TimedOut,
            // What it wrote since the last look counts as well.
            (None, End::Exited(0)) if self.mapped + files > self.limits.memory_bytes => Status::MemoryExceeded,
            (None, End::Exited(0)) => Status::Exited(0),
            (None, end) => self.failure(end, ended.cpu, ended.max_rss_bytes),
        };
        self.result = Some(RunResult {
            status,
            stdout: std::mem::take(&mut self.out),
            stderr: std::mem::take(&mut self.err),
            wall_ms: self.started.elapsed().as_millis() as u64,
            cpu_ms: ended.cpu.as_millis() as u64,
        });
        Ok(())
    }

    /// Names the limit behind a failed end, where there was one.
    fn failure(&self, end: End, cpu: Duration, max_rss_bytes: u64) -> Status {
        let tail = String::from_utf8_lossy(&self.err[self.err.len().saturating_sub(512)..]).into_owned();
        let no_memory = ["MemoryError", "bad_alloc", "out of memory", "OutOfMemory", "Cannot allocate memory"];
        match end {
            End::Signalled(libc::SIGXCPU) => Status::TimedOut,
            End::Signalled(libc::SIGKILL) if self.lines.is_none() && cpu >= self.limits.cpu => Status::TimedOut,
            _ if max_rss_bytes > self.limits.memory_bytes / 10 * 9 => Status::MemoryExceeded,
            _ if no_memory.iter().any(|text| tail.contains(text)) => Status::MemoryExceeded,
            End::Signalled(signal) => Status::Signal(signal),
            End::Exited(code) => Status::Exited(code),
            End::Killed => Status::Signal(libc::SIGKILL),
        }
    }
}

/// Waits until all have ended. When `watched[leader]` ends, the others are stopped.
pub(super) fn supervise(mut watched: Vec<Watched>, leader: usize) -> Result<Vec<RunResult>, CodeError> {
    let mut look_at = Instant::now() + FIRST_LOOK;
    while watched.iter().any(|one| one.result.is_none()) {
        let now = Instant::now();
        if now >= look_at {
            watched.iter_mut().filter(|one| one.result.is_none()).for_each(Watched::look);
            look_at = now + NEXT_LOOKS;
        }
        poll(&watched, look_at.saturating_duration_since(now));
        for at in 0..watched.len() {
            let one = &mut watched[at];
            if one.result.is_some() {
                continue;
            }
            one.read();
            if has_ended(&one.running) {
                one.finish()?;
                if at == leader {
                    for other in watched.iter_mut().filter(|other| other.result.is_none()) {
                        other.stop(Status::Stopped);
                    }
                }
            }
        }
    }
    Ok(watched.into_iter().filter_map(|one| one.result).collect())
}

fn poll(watched: &[Watched], timeout: Duration) {
    let mut polls: Vec<libc::pollfd> = Vec::with_capacity(watched.len() * 3);
    let mut add = |fd: i32| polls.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    for one in watched.iter().filter(|one| one.result.is_none()) {
        add(one.running.ended_fd().as_raw_fd());
        let stdout = one.stdout.iter().filter(|_| !one.unhurried);
        for stream in stdout.chain(&one.stderr) {
            add(stream.as_raw_fd());
        }
    }
    let milliseconds = timeout.as_millis().min(1000) as i32 + 1;
    // SAFETY: the pointer and the count are the vector's.
    unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) };
}

fn has_ended(running: &Running) -> bool {
    let mut poll = libc::pollfd { fd: running.ended_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one initialised element.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}
