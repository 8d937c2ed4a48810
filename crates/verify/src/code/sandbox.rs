//! Running a program that nobody trusts.
//!
//! Two sandboxes with one view of the machine: [bubblewrap](https://github.com/containers/bubblewrap) when it is
//! installed and works, else one built in. In both the program has its own user, mount, PID, network, IPC, host-name and
//! cgroup namespaces; an empty environment; a read-only root of system folders only; private `/tmp` and `/dev/shm` that
//! vanish with it; no sockets but local ones; a filter that denies the kernel's administrative calls; and limits on
//! processor time, clock time, memory, processes, file size and output. Memory that no process maps cannot be had or is
//! counted too, by the kernel itself where a control group can be made. The built-in one adds Landlock where the kernel
//! has it. Without isolation nothing runs: there is no setting that says otherwise.

// Namespaces, clone and seccomp have no safe interface.
#![allow(unsafe_code)]

mod bubblewrap;
mod builtin;
mod cgroup;
mod child;
mod descriptors;
mod diagnose;
mod layout;
mod limits;
mod process;
mod program;
mod result;
mod seccomp;
mod supervise;
mod usage;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::bubblewrap::Bubblewrap;
use self::builtin::Builtin;
use self::cgroup::Groups;
use self::descriptors::{memory_file, pipe};
use self::layout::Layout;
pub use self::limits::Limits;
use self::process::{Running, Streams};
pub use self::program::Program;
pub use self::result::{RunResult, Status};
use self::supervise::{Watched, supervise};
use super::CodeError;

/// Which sandbox to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxChoice {
    /// Bubblewrap when it is installed and works, else the built-in one.
    #[default]
    Auto,
    /// Bubblewrap or nothing.
    Bubblewrap,
    /// The built-in one or nothing.
    Builtin,
}

/// How programs are kept apart from the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Through this `bwrap`.
    Bubblewrap {
        /// Where it is.
        path: PathBuf,
    },
    /// By this program itself.
    Builtin {
        /// Version of the kernel's Landlock interface that is used on top of namespaces and seccomp; 0 for none.
        landlock: u32,
    },
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bubblewrap { path } => write!(f, "bubblewrap at `{}`: namespaces, seccomp, rlimits", path.display()),
            Self::Builtin { landlock: 0 } => write!(f, "built in: namespaces, seccomp, rlimits"),
            Self::Builtin { landlock } => write!(f, "built in: namespaces, landlock {landlock}, seccomp, rlimits"),
        }
    }
}

enum Backend {
    Bubblewrap(Bubblewrap),
    Builtin(Builtin),
}

/// A way to run programs apart from the machine. Cheap to clone; runs from several threads at once.
#[derive(Clone)]
pub struct Sandbox {
    backend: Arc<Backend>,
    layout: Arc<Layout>,
    groups: Option<Arc<Groups>>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sandbox").field(&self.isolation()).finish()
    }
}

impl Sandbox {
    /// The sandbox of this choice, tried out: a program is started in it and must end well.
    ///
    /// Programs see the system's folders and `read_only_paths`, and neither `private_paths` nor the working folder nor the
    /// home folder, wherever these lie. When no isolation is possible the error says what would make it possible.
    pub fn new(
        choice: SandboxChoice,
        read_only_paths: &[PathBuf],
        private_paths: &[PathBuf],
    ) -> Result<Self, CodeError> {
        if !limits::kernel_counts_per_namespace() {
            return Err(CodeError::NoIsolation {
                reason: "this kernel cannot limit the processes of a sandbox".into(),
                fix: "Linux 5.14 or newer is needed".into(),
            });
        }
        let layout = Arc::new(Layout::new(read_only_paths, private_paths)?);
        let groups = Groups::find().map(Arc::new);
        let try_bubblewrap = || -> Result<Self, CodeError> {
            let path = super::command::find("bwrap").ok_or_else(|| CodeError::NoIsolation {
                reason: "bubblewrap is not installed".into(),
                fix: "install the package `bubblewrap`, or set `sandbox: builtin`".into(),
            })?;
            Self::of(Backend::Bubblewrap(Bubblewrap::new(path, &layout)?), &layout, groups.as_ref()).tried()
        };
        let try_builtin = || Self::of(Backend::Builtin(Builtin::new(&layout)?), &layout, groups.as_ref()).tried();
        match choice {
            SandboxChoice::Bubblewrap => try_bubblewrap(),
            SandboxChoice::Builtin => try_builtin(),
            SandboxChoice::Auto => try_bubblewrap().or_else(|_| try_builtin()),
        }
    }

    fn of(backend: Backend, layout: &Arc<Layout>, groups: Option<&Arc<Groups>>) -> Self {
        Self { backend: Arc::new(backend), layout: layout.clone(), groups: groups.cloned() }
    }

    /// How programs are kept apart.
    pub fn isolation(&self) -> Isolation {
        match self.backend.as_ref() {
            Backend::Bubblewrap(bubblewrap) => Isolation::Bubblewrap { path: bubblewrap.path().to_path_buf() },
            Backend::Builtin(builtin) => Isolation::Builtin { landlock: builtin.landlock.unsigned_abs() },
        }
    }

    /// Whether programs see the file at `path`.
    pub fn shows(&self, path: &Path) -> bool {
        self.layout.shows(path)
    }

    /// Runs `program` on `stdin` until it ends or meets a limit. Afterwards none of its processes and files exist.
    pub fn run(&self, program: &Program<'_>, stdin: &[u8], limits: &Limits) -> Result<RunResult, CodeError> {
        self.run_watched(program, stdin, limits, None)
    }

    /// As [`Sandbox::run`], with the times of `limits` for each of `lines` lines of output instead of the whole run.
    pub(super) fn run_lines(
        &self,
        program: &Program<'_>,
        stdin: &[u8],
        limits: &Limits,
        lines: usize,
    ) -> Result<RunResult, CodeError> {
        self.run_watched(program, stdin, limits, Some(lines))
    }

    fn run_watched(
        &self,
        program: &Program<'_>,
        stdin: &[u8],
        limits: &Limits,
        lines: Option<usize>,
    ) -> Result<RunResult, CodeError> {
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        let streams = Streams { stdin: memory_file(stdin)?, stdout: out_write, stderr: err_write };
        let mut of_process = limits.clone();
        of_process.cpu *= u32::try_from(lines.unwrap_or(1).max(1)).unwrap_or(u32::MAX);
        let running = self.start(program, streams, &of_process)?;
        let mut watched = Watched::new(running, limits, self.groups.clone(), Some(out_read), Some(err_read))?;
        watched.lines = lines;
        let mut results = supervise(vec![watched], 0)?;
        results.pop().ok_or_else(|| CodeError::Io(std::io::ErrorKind::UnexpectedEof.into()))
    }

    /// Runs two programs that talk to each other, each in a sandbox of its own: what `served` prints is the input of
    /// `leader`, and what `leader` writes to standard error is the input of `served`. Standard output of `leader` is a
    /// pipe that only this process reads. When `leader` ends, `served` is stopped. The results are in this order.
    pub(super) fn run_pair(
        &self,
        leader: &Program<'_>,
        served: &Program<'_>,
        limits: &Limits,
    ) -> Result<(RunResult, RunResult), CodeError> {
        let (request_read, request_write) = pipe()?;
        let (reply_read, reply_write) = pipe()?;
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        let leader_streams = Streams { stdin: reply_read, stdout: out_write, stderr: request_write };
        // The leader waits for the other: by the clock it must outlast it, or the wrong one would seem slow.
        let longer = Limits { wall: limits.wall * (supervise::PATIENCE + 1), ..limits.clone() };
        let leader = self.start(leader, leader_streams, &longer)?;
        let mut leader = Watched::new(leader, &longer, self.groups.clone(), Some(out_read), None)?;
        leader.unhurried = true;
        let served_streams = Streams { stdin: request_read, stdout: reply_write, stderr: err_write };
        let served = self.start(served, served_streams, limits)?;
        let served = Watched::new(served, limits, self.groups.clone(), None, Some(err_read))?;
        let mut results = supervise(vec![leader, served], 0)?.into_iter();
        match (results.next(), results.next()) {
            (Some(leader), Some(served)) => Ok((leader, served)),
            _ => Err(CodeError::Io(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn start(&self, program: &Program<'_>, streams: Streams, limits: &Limits) -> Result<Running, CodeError> {
        match self.backend.as_ref() {
            Backend::Bubblewrap(bubblewrap) => bubblewrap.start(program, streams, limits),
            Backend::Builtin(builtin) => builtin.start(program, streams, limits),
        }
    }

    /// Starts something harmless and passes the sandbox on when that ended well.
    fn tried(self) -> Result<Self, CodeError> {
        let rehearsal = Program { file: "rehearsal", source: "", command: &[] };
        match self.run(&rehearsal, b"", &Limits::of_seconds(10.0)) {
            Ok(result) if result.status == Status::Exited(0) => Ok(self),
            Ok(result) => Err(diagnose::no_isolation(&format!(
                "{}: {}",
                result.status,
                String::from_utf8_lossy(&result.stderr).trim()
            ))),
            Err(error) => Err(diagnose::no_isolation(&error.to_string())),
        }
    }
}
