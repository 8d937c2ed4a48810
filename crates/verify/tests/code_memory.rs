//! Memory that no process maps, and what else a program may hold on to: all of it counts, or cannot be had, in every
//! sandbox that works on this machine.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use retort_verify::code::sandbox::{Limits, Program, RunResult, Sandbox, SandboxChoice, Status};
use retort_verify::code::{CodeError, resolve};

const LIMIT: u64 = 128 << 20;

/// Runs `source` in each sandbox under [`LIMIT`] and hands each result to `check`.
fn in_each(source: &str, check: impl Fn(&RunResult, &str)) {
    in_each_under(&Limits { memory_bytes: LIMIT, ..Limits::of_seconds(10.0) }, source, check);
}

fn in_each_under(limits: &Limits, source: &str, check: impl Fn(&RunResult, &str)) {
    for choice in [SandboxChoice::Builtin, SandboxChoice::Bubblewrap] {
        let attempt = |python: &str| {
            let python = resolve(&[python.into(), "-s".into(), "{file}".into()])?;
            Ok((Sandbox::new(choice, &python.paths, &[])?, python))
        };
        let (sandbox, python) = match attempt("python3").or_else(|_: CodeError| attempt("/usr/bin/python3")) {
            Ok(found) => found,
            Err(error) => {
                eprintln!("SKIPPED: sandbox {choice:?}: {error}");
                continue;
            }
        };
        let program = Program { file: "main.py", source, command: &python.command };
        let result = sandbox.run(&program, b"0123456789", limits).expect("the sandbox works");
        let shown = format!(
            "{sandbox:?}: {:?} after {} ms\n--- stdout\n{}\n--- stderr\n{}",
            result.status,
            result.wall_ms,
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr)
        );
        check(&result, &shown);
    }
}

/// A program that holds more than the limit must be stopped for it; one that is refused prints what it got, in MiB.
fn is_contained(source: &str) {
    in_each(source, |result, shown| {
        let got = String::from_utf8_lossy(&result.stdout).trim().parse::<u64>();
        let refused = result.status == Status::Exited(0) && got.is_ok_and(|got| got << 20 <= LIMIT);
        assert!(refused || result.status == Status::MemoryExceeded, "{shown}");
    });
}

fn prints(source: &str, expected: &str) {
    in_each(source, |result, shown| {
        assert_eq!(result.status, Status::Exited(0), "{shown}");
        assert_eq!(String::from_utf8_lossy(&result.stdout).trim(), expected, "{shown}");
    });
}

#[test]
fn files_in_memory_cannot_be_made() {
    is_contained(
        r"
import os
held, got = [], 0
try:
    for i in range(40):
        held.append(os.memfd_create('x'))
        for _ in range(16):
            got += os.write(held[-1], bytes(1 << 20))
except OSError:
    pass
print(got >> 20)
",
    );
    prints(
        r"
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
memfd_create = {'x86_64': 319, 'aarch64': 279}[platform.machine()]
print([libc.syscall(number, b'x', 0) for number in (memfd_create, 447)], ctypes.get_errno() in (errno.EPERM, errno.ENOSYS))
",
        "[-1, -1] True",
    );
}

#[test]
fn system_v_objects_cannot_be_made() {
    prints(
        r"
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0, 1 << 20, 0o1600), libc.semget(0, 32000, 0o1600), libc.msgget(0, 0o1600))
",
        "-1 -1 -1",
    );
}

#[test]
fn posix_shared_memory_is_limited() {
    is_contained(
        r"
import os
from multiprocessing import shared_memory
held, got = [], 0
try:
    for i in range(200):
        held.append(shared_memory.SharedMemory(create=True, size=1 << 20))
        os.posix_fallocate(held[-1]._fd, 0, 1 << 20)
        held[-1].buf[:] = bytes(b'x' * (1 << 20))
        with open(f'/dev/shm/plain{i}', 'wb') as f: f.write(b'x' * (1 << 20))
        got += 2
except OSError:
    pass
# Nothing is to be tidied at the end.
print(got, flush=True)
os._exit(0)
",
    );
}

#[test]
fn files_and_memory_count_together() {
    // 64 MiB of files and 100 MiB of memory: each alone is allowed.
    let source = r"
import os, time
def fill():
    held = []
    try:
        for i in range(64):
            # Files without a name count as well.
            held.append(os.open('/tmp', os.O_TMPFILE | os.O_RDWR) if UNNAMED else os.open(f'/tmp/{i}', os.O_CREAT | os.O_RDWR))
            os.write(held[-1], b'x' * (1 << 20))
    except OSError:
        pass
    return held
held = fill()
memory = bytearray(b'x' * (SIZE << 20))
time.sleep(0.5)
print('done')
";
    for unnamed in ["True", "False"] {
        let source = source.replace("UNNAMED", unnamed);
        in_each(&source.replace("SIZE", "100"), |result, shown| {
            assert_eq!(result.status, Status::MemoryExceeded, "{shown}");
        });
        prints(&source.replace("SIZE", "20"), "done");
    }
}

#[test]
fn empty_files_are_not_free() {
    is_contained(
        r"
import os, time
count = 0
try:
    for folder in range(1000):
        os.mkdir(f'/tmp/{folder}')
        for i in range(1000):
            os.close(os.open(f'/tmp/{folder}/{i}', os.O_CREAT | os.O_WRONLY))
            count += 1
except OSError:
    pass
time.sleep(0.2)
print(count >> 10)
",
    );
}

#[test]
fn shared_memory_counts_when_nobody_maps_its_pages() {
    is_contained(
        r"
import mmap, time
held, got = [], 0
for i in range(64):
    held.append(mmap.mmap(-1, 16 << 20))
    held[-1].write(b'x' * (16 << 20))
    held[-1].madvise(mmap.MADV_DONTNEED)
    got += 16
    time.sleep(0.02)
print(got)
",
    );
    // What is shared by many counts once.
    prints(
        r"
import mmap, os, time
shared = mmap.mmap(-1, 48 << 20)
shared.write(b'x' * (48 << 20))
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        total = sum(shared[i << 12] for i in range(48 << 8))
        time.sleep(0.3)
        os._exit(0 if total == 120 * (48 << 8) else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
",
        "[0, 0, 0, 0]",
    );
}

#[test]
fn sockets_count() {
    is_contained(
        r"
import os, socket, time
got = 0
for _ in range(12):
    if os.fork() == 0:
        held = []
        try:
            while True:
                for one in (pair := socket.socketpair()):
                    held.append(one)
                    one.setblocking(False)
                    try:
                        while True: one.send(b'x' * 65536)
                    except OSError: pass
        except OSError: pass
        time.sleep(30)
time.sleep(3)
print(1000)
",
    );
}

#[test]
fn page_tables_count() {
    is_contained(
        r"
import mmap, time
# Pages that are only read are the kernel's one page of zeros, but each needs its place in a table.
step, got = 2 << 20, 0
for i in range(64):
    area = mmap.mmap(-1, 32 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
    globals()[f'area{i}'] = area
    for at in range(0, 32 << 30, step):
        area[at]
    got += (32 << 30) // step * 4096
    time.sleep(0.02)
print(got >> 20)
",
    );
}

#[test]
fn standard_input_cannot_grow() {
    prints(
        r"
import mmap, os
def attempt(f):
    try:
        return f()
    except (OSError, ValueError):
        return 'closed'
print(attempt(lambda: os.write(0, b'x')),
      attempt(lambda: os.ftruncate(0, 1 << 20)),
      attempt(lambda: os.write(os.open('/proc/self/fd/0', os.O_RDWR), b'x')),
      attempt(lambda: mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:]),
      os.read(0, 100))
",
        "closed closed closed b'0123456789' b'0123456789'",
    );
}

#[test]
fn the_kernel_would_take_the_program_first() {
    prints("print(open('/proc/self/oom_score_adj').read().strip())", "1000");
    // The program may not change that.
    prints(
        r"
try:
    open('/proc/self/oom_score_adj', 'w').write('-1000')
except OSError:
    pass
print(open('/proc/self/oom_score_adj').read().strip())
",
        "1000",
    );
}

#[test]
fn ordinary_programs_have_what_they_need() {
    in_each_under(
        &Limits::of_seconds(10.0),
        r"
import asyncio, multiprocessing, subprocess, tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory
def square(x): return x * x
async def later(): return (await asyncio.gather(*[asyncio.sleep(0, i) for i in range(3)]))
if __name__ == '__main__':
    multiprocessing.set_start_method('fork')
    with ProcessPoolExecutor(2) as pool:
        squares = list(pool.map(square, range(4)))
    value = multiprocessing.Value('i', 3)
    with value.get_lock():
        value.value += 1
    block = shared_memory.SharedMemory(create=True, size=10)
    block.buf[0] = 5
    with tempfile.NamedTemporaryFile() as file:
        file.write(b'x')
    queue = multiprocessing.Queue()
    queue.put(7)
    print(squares, value.value, block.buf[0], asyncio.run(later()), queue.get(), subprocess.run(['true']).returncode)
    block.unlink()
",
        |result, shown| {
            assert_eq!(result.status, Status::Exited(0), "{shown}");
            assert_eq!(String::from_utf8_lossy(&result.stdout).trim(), "[0, 1, 4, 9] 4 5 [0, 1, 2] 7 0", "{shown}");
        },
    );
}
