//! The sandbox through bubblewrap: the same view, limits and filter, set up by `bwrap`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child::NOBODY;
use super::descriptors::{memory_file, pipe};
use super::layout::Layout;
use super::limits::{self, Limits};
use super::process::{Running, Streams};
use super::program::{Program, environment};
use crate::code::CodeError;

/// A way to run bubblewrap.
pub(super) struct Bubblewrap {
    path: PathBuf,
    /// Arguments before the private `/tmp`, whose size is the program's.
    arguments: Vec<OsString>,
    /// Arguments after it: the view may lie below `/tmp`.
    view: Vec<OsString>,
    filter: Vec<u8>,
}

impl Bubblewrap {
    /// Bubblewrap at `path`, showing `layout`.
    pub(super) fn new(path: PathBuf, layout: &Layout) -> Result<Self, CodeError> {
        let filter = super::seccomp::filter()
            .ok_or_else(|| CodeError::Unsupported(format!("architecture `{}`", std::env::consts::ARCH)))?;
        let filter = filter
            .iter()
            .flat_map(|step| {
                let [low, high] = step.code.to_ne_bytes();
                [low, high, step.jt, step.jf].into_iter().chain(step.k.to_ne_bytes())
            })
            .collect();
        let mut arguments: Vec<OsString> = Vec::new();
        let mut push = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        push(&["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
        push(&["--unshare-cgroup-try", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]);
        push(&["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        for variable in environment() {
            let variable = variable.to_string_lossy().into_owned();
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            push(&["--setenv", name, value]);
        }
        push(&["--dev", "/dev", "--size", "16777216", "--perms", "1777", "--tmpfs", "/dev/shm"]);
        push(&["--remount-ro", "/dev", "--proc", "/proc"]);
        // Process 1 is bubblewrap's own, of the same user as the program: its memory is not for the program.
        push(&["--size", "4096", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]);
        // Whoever may raise its own score for the kernel's choice of a victim may lower it again.
        push(&["--remount-ro", "/proc"]);
        Ok(Self { path, arguments, view: view(layout), filter })
    }

    /// Where the executable is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts `program`.
    pub(super) fn start(&self, program: &Program<'_>, streams: Streams, given: &Limits) -> Result<Running, CodeError> {
        let arguments = program.arguments()?;
        let filter = memory_file(&self.filter)?;
        let source = memory_file(program.source.as_bytes())?;
        let (info_read, info_write) = pipe()?;
        let (block_read, block_write) = pipe()?;
        let mut command = Command::new(&self.path);
        let number = |fd: &dyn AsRawFd| fd.as_raw_fd().to_string();
        command.env_clear().args(&self.arguments);
        command.args(["--size", &given.file_bytes.to_string(), "--perms", "1777", "--tmpfs", "/tmp"]);
        command.args(&self.view);
        command.args(["--ro-bind-data", &number(&source), &program.path()]);
        command.args(["--remount-ro", "/", "--chdir", "/tmp"]);
        command.args(["--seccomp", &number(&filter), "--info-fd", &number(&info_write)]);
        command.args(["--block-fd", &number(&block_read), "--"]);
        if arguments.is_empty() {
            command.arg(&self.path).arg("--version");
        } else {
            for argument in &arguments {
                command.arg(argument.to_string_lossy().as_ref());
            }
        }
        let inherit: [RawFd; 4] =
            [filter.as_raw_fd(), source.as_raw_fd(), info_write.as_raw_fd(), block_read.as_raw_fd()];
        let resource_limits = limits::resource_limits(given, false);
        let leave_root = limits::is_global_root();
        let parent = std::process::id() as libc::pid_t;
        command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
        // SAFETY: the closure only makes system calls on memory that it owns.
        unsafe {
            command.pre_exec(move || {
                // Whatever else this process has open without "close on exec" is not for the program.
                libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
                for fd in inherit {
                    libc::fcntl(fd, libc::F_SETFD, 0);
                }
                for &(resource, soft, hard) in &resource_limits {
                    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                    if libc::setrlimit(resource as _, &raw const limit) != 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                // Before the change of user, after which the file belongs to somebody else.
                super::child::first_to_be_killed();
                if leave_root {
                    // The kernel limits the number of everyone's processes but root's, and a fork bomb that is only
                    // watched can outrun the watcher: bubblewrap itself must run as somebody else.
                    become_nobody()?;
                }
                // Bubblewrap asks for this too, but only once it has a child: a parent that is killed before would leave
                // it behind. It must follow the change of user, which forgets it.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 || libc::getppid() != parent {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                let mut empty: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut empty);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                Ok(())
            });
        }
        let started = command.spawn().map_err(|source| CodeError::Step { step: "start bubblewrap", source });
        // The command holds our copies of the streams; while they live, no reader sees the end of file.
        drop(command);
        let mut running = Running::bubblewrap(started?.id() as libc::pid_t).map_err(CodeError::Io)?;
        drop((info_write, block_read));
        let mut info = String::new();
        File::from(info_read).read_to_string(&mut info).map_err(CodeError::Io)?;
        let Some(inner) = child_pid(&info) else {
            // It ended before it had a child: its own words are on standard error, which the caller reads.
            return Ok(running);
        };
        running.set_inner(inner).map_err(CodeError::Io)?;
        limit_processes(inner, given.processes, leave_root)
            .map_err(|source| CodeError::Step { step: "limit the processes", source })?;
        // An error means that bubblewrap is gone, which the caller sees anyway.
        let _ = File::from(block_write).write_all(&[1]);
        Ok(running)
    }
}

fn view(layout: &Layout) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    for (says, at) in &layout.links {
        arguments.extend(["--symlink".into(), says.into(), at.into()]);
    }
    for view in &layout.views {
        match &view.source {
            Some(source) => arguments.extend(["--ro-bind".into(), source.into(), view.target.clone().into()]),
            None => arguments.extend(
                ["--size", "65536", "--tmpfs"].map(OsString::from).into_iter().chain([view.target.clone().into()]),
            ),
        }
    }
    for view in layout.views.iter().filter(|view| view.source.is_none()) {
        arguments.extend(["--remount-ro".into(), view.target.clone().into()]);
    }
    arguments
}

/// Limits the processes of `pid`, our grandchild, which cannot have ended: it still waits to be unblocked.
///
/// Only somebody with the same user and group may do that, or a root that has kept every capability, as root in a
/// container has not; so a child of ours becomes the same nobody first.
fn limit_processes(pid: libc::pid_t, processes: u32, as_nobody: bool) -> io::Result<()> {
    let count = libc::rlimit64 { rlim_cur: processes.into(), rlim_max: processes.into() };
    // SAFETY: reads a struct of this stack frame.
    let limit = || unsafe { libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_NPROC, &raw const count, 0usize) };
    if !as_nobody {
        return if limit() == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    }
    let mut status: libc::c_int = 0;
    // SAFETY: the child only makes system calls and ends without unwinding; signals are blocked around the fork, so that
    // no handler of this process runs in it. The parent waits for exactly this child.
    let waited = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(become_nobody().is_err() || limit() != 0));
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        loop {
            let waited = if child > 0 { libc::waitpid(child, &raw mut status, 0) } else { child };
            if waited >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break waited;
            }
        }
    };
    if waited > 0 && status == 0 { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Gives up root for good. Raw calls: they change this thread alone, which in a fresh child is the only one.
fn become_nobody() -> io::Result<()> {
    let id = libc::c_long::from(NOBODY);
    let none = std::ptr::null::<libc::gid_t>();
    // SAFETY: the calls touch no memory.
    let failed = unsafe {
        libc::syscall(libc::SYS_setgroups, 0 as libc::c_long, none) != 0
            || libc::syscall(libc::SYS_setresgid, id, id, id) != 0
            || libc::syscall(libc::SYS_setresuid, id, id, id) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number after `"child-pid":` in what bubblewrap says about itself.
fn child_pid(info: &str) -> Option<libc::pid_t> {
    serde_json::from_str::<serde_json::Value>(info).ok()?.get("child-pid")?.as_i64().map(|pid| pid as libc::pid_t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_is_read_from_the_info() {
        assert_eq!(child_pid("{\n    \"child-pid\": 42,\n    \"mnt-namespace\": 7\n}\n"), Some(42));
        assert_eq!(child_pid(""), None);
    }
}
