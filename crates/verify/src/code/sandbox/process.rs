//! A running sandbox, seen from outside: waiting for it, killing it, reading how it ended.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::cgroup::{Group, Groups};
use super::child::{Report, Step};
use crate::code::CodeError;

/// The three streams of a program; each end is the program's.
pub(super) struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// How the program's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// With the whole sandbox.
    Killed,
}

/// How a sandbox ended, and what it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub end: End,
    pub cpu: Duration,
    pub max_rss_bytes: u64,
    /// Whether its control group ran out of memory.
    pub out_of_memory: bool,
}

/// A started sandbox. Dropping it kills it.
pub(super) struct Running {
    /// The process to wait for.
    pid: libc::pid_t,
    /// Readable when that process has ended.
    pidfd: OwnedFd,
    /// Process 1 of the sandbox, where it is another process than `pid`.
    inner: Option<(libc::pid_t, OwnedFd)>,
    /// Where the built-in sandbox's process 1 reports.
    report: Option<File>,
    /// The control group that it is in.
    group: Option<(Arc<Groups>, Group)>,
    waited: bool,
}

impl Running {
    /// A sandbox whose process 1 is our child and reports on `report`.
    pub(super) fn builtin(pid: libc::pid_t, pidfd: OwnedFd, report: File) -> Self {
        Self { pid, pidfd, inner: None, report: Some(report), group: None, waited: false }
    }

    /// A bubblewrap process.
    pub(super) fn bubblewrap(pid: libc::pid_t) -> io::Result<Self> {
        Ok(Self { pid, pidfd: pidfd_open(pid)?, inner: None, report: None, group: None, waited: false })
    }

    /// Names process 1 inside bubblewrap, our grandchild. Only while it cannot have ended: it waits to be unblocked.
    pub(super) fn set_inner(&mut self, pid: libc::pid_t) -> io::Result<()> {
        self.inner = Some((pid, pidfd_open(pid)?));
        Ok(())
    }

    /// Moves the program's processes into a control group, which is given back when the sandbox has ended.
    pub(super) fn enter(&mut self, groups: Arc<Groups>, group: Group) {
        let mut moved = Vec::new();
        // Until no process has come in while the others were moved; whatever a moved one starts is in the group.
        for _ in 0..4 {
            let new = |pid: &libc::pid_t| *pid != self.root() && !moved.contains(pid);
            let found: Vec<libc::pid_t> = super::usage::tree(self.root()).into_iter().filter(new).collect();
            if found.is_empty() {
                break;
            }
            for pid in found {
                group.enter(pid);
                moved.push(pid);
            }
        }
        self.group = Some((groups, group));
    }

    /// The process under which all the program's processes are.
    pub(super) fn root(&self) -> libc::pid_t {
        self.inner.as_ref().map_or(self.pid, |(pid, _)| *pid)
    }

    /// Readable when the sandbox has ended.
    pub(super) fn ended_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills process 1, and with it every process inside.
    pub(super) fn kill(&self) {
        let send = |fd: &OwnedFd| {
            // SAFETY: signals the process that the descriptor names, never another that got its number.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), libc::SIGKILL, 0usize, 0) };
        };
        if let Some((_, fd)) = &self.inner {
            send(fd);
        }
        send(&self.pidfd);
    }

    /// Waits for the end and reads how it came about. Afterwards no process of the sandbox exists.
    pub(super) fn wait(&mut self) -> Result<Ended, CodeError> {
        let mut status: libc::c_int = 0;
        // SAFETY: the structs are plain data filled by the kernel; `pid` is our child and not yet waited for.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            while libc::wait4(self.pid, &raw mut status, 0, &raw mut usage) < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    self.waited = true;
                    return Err(CodeError::Io(error));
                }
            }
            usage
        };
        self.waited = true;
        if let Some((_, inner)) = &self.inner {
            // Killing bubblewrap's outer process kills the inner one a moment later: wait until that is true.
            wait_readable(inner.as_fd());
        }
        let out_of_memory = self.group.as_ref().is_some_and(|(_, group)| group.has_killed());
        if let Some(report) = &mut self.report {
            let Some(report) = read_report(report)? else {
                return Ok(Ended { end: End::Killed, cpu: cpu_time(&usage), max_rss_bytes: 0, out_of_memory });
            };
            return Ok(Ended {
                end: decode(report.code),
                cpu: Duration::from_micros(report.cpu_micros.max(0) as u64),
                max_rss_bytes: report.max_rss_kib.max(0) as u64 * 1024,
                out_of_memory,
            });
        }
        let end = match decode(status) {
            // Bubblewrap passes a signal on as a shell does.
            End::Exited(code) if (129..=192).contains(&code) => End::Signalled(code - 128),
            End::Signalled(_) => End::Killed,
            end => end,
        };
        Ok(Ended { end, cpu: cpu_time(&usage), max_rss_bytes: usage.ru_maxrss.max(0) as u64 * 1024, out_of_memory })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited {
            self.kill();
            let _ = self.wait();
        }
        if let Some((groups, group)) = self.group.take() {
            groups.give_back(group);
        }
    }
}

/// The first report on the pipe: how the program ended, or which step failed. `None` when process 1 was killed.
fn read_report(pipe: &mut File) -> Result<Option<Report>, CodeError> {
    let mut bytes = [0u8; size_of::<Report>()];
    if pipe.read_exact(&mut bytes).is_err() {
        return Ok(None);
    }
    let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let long = |at: usize| {
        let (low, high) = (word(at), word(at + 4));
        i64::from_ne_bytes([low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]])
    };
    let report = Report {
        step: u32::from_ne_bytes(word(0)),
        code: i32::from_ne_bytes(word(4)),
        cpu_micros: long(8),
        max_rss_kib: long(16),
    };
    match Step::of(report.step) {
        None => Ok(Some(report)),
        Some(step) => Err(CodeError::Step { step: step.text(), source: io::Error::from_raw_os_error(report.code) }),
    }
}

fn cpu_time(usage: &libc::rusage) -> Duration {
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.max(0) as u64) + Duration::from_micros(time.tv_usec.max(0) as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn decode(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signalled(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    }
}

fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd as i32)) }
    }
}

fn wait_readable(fd: BorrowedFd<'_>) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one initialised element.
    unsafe { libc::poll(&raw mut poll, 1, 2000) };
}
