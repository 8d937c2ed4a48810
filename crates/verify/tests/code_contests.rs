//! Twenty CodeContests problems with programs of our own: right, wrong, and too slow.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use retort_records::Verdict;
use retort_verify::Case;
use retort_verify::code::{CodeSettings, CodeVerifier, TestStatus};
use serde_json::Value;

/// A problem: its id, a right program, and what to replace by what to make it wrong.
struct Problem {
    id: &'static str,
    right: &'static str,
    replace: &'static str,
    by: &'static str,
}

const PROBLEMS: &[Problem] = &[
    // Strings sorted by letters that ascend and descend in turn.
    Problem {
        id: "cc/0",
        right: r"
n, m = map(int, input().split())
rows = [input() for _ in range(n)]
key = lambda i: [ord(c) if j % 2 == 0 else -ord(c) for j, c in enumerate(rows[i])]
print(*[i + 1 for i in sorted(range(n), key=key)])
",
        replace: "j % 2 == 0",
        by: "j % 2 == 1",
    },
    // Digits with blanks, divisible by 25.
    Problem {
        id: "cc/3",
        right: r"
s = input().strip()
def count(s):
    ways = 0
    for tail in ('00', '25', '50', '75'):
        full = s if len(s) > 1 else '0' + s
        if all(a in ('_', b) for a, b in zip(full[-2:], tail)) and not (len(s) == 1 and tail[0] != '0'):
            head = s[:-2] if len(s) > 1 else ''
            if len(s) == 2 and tail[0] == '0':
                continue
            n = 1
            for i, c in enumerate(head):
                if c == '_':
                    n *= 9 if i == 0 else 10
                elif c == '0' and i == 0:
                    n = 0
            ways += n
    return ways
if 'X' in s:
    print(sum(count(s.replace('X', d)) for d in '0123456789'))
else:
    print(count(s))
",
        replace: "n *= 9 if i == 0 else 10",
        by: "n *= 10",
    },
    // Removing elements until as many as possible stand at their own index.
    Problem {
        id: "cc/11",
        right: r"
n = int(input())
a = list(map(int, input().split()))
points = sorted(((i + 1 - x, x) for i, x in enumerate(a) if i + 1 >= x))
tails = []
for d, x in points:
    lo, hi = 0, len(tails)
    while lo < hi:
        mid = (lo + hi) // 2
        if tails[mid] < x: lo = mid + 1
        else: hi = mid
    if lo == len(tails): tails.append(x)
    else: tails[lo] = x
print(len(tails))
",
        replace: "tails[mid] < x",
        by: "tails[mid] <= x - 2",
    },
    // A graph with n nodes, m edges and a small diameter.
    Problem {
        id: "cc/27",
        right: r"
for _ in range(int(input())):
    n, m, k = map(int, input().split())
    full = n * (n - 1) // 2
    if m < n - 1 or m > full: ok = False
    elif n == 1: ok = k > 1
    elif m == full: ok = k > 2
    else: ok = k > 3
    print('YES' if ok else 'NO')
",
        replace: "k > 2",
        by: "k > 3",
    },
    // Songs split into two concerts.
    Problem {
        id: "cc/28",
        right: "for _ in range(int(input())):\n    a, b, c = map(int, input().split())\n    print((a + 2 * b + 3 * c) % 2)\n",
        replace: "3 * c",
        by: "c * 2",
    },
    // Subsequences with the sum less one.
    Problem {
        id: "cc/29",
        right: "for _ in range(int(input())):\n    n = int(input())\n    a = list(map(int, input().split()))\n    print(a.count(1) * 2 ** a.count(0))\n",
        replace: "2 ** a.count(0)",
        by: "(1 + a.count(0))",
    },
    // A flower and its water.
    Problem {
        id: "cc/45",
        right: r"
for _ in range(int(input())):
    n = int(input())
    a = list(map(int, input().split()))
    height, before, dead = 1, None, False
    for x in a:
        if x: height += 5 if before == 1 else 1
        elif before == 0: dead = True
        before = x
    print(-1 if dead else height)
",
        replace: "5 if",
        by: "4 if",
    },
    // Arrays below a bound without equal neighbours.
    Problem {
        id: "cc/50",
        right: r"
M = 998244353
n = int(input())
a = list(map(int, input().split()))
# f(i) = sum over j < i of (-1)^(i-j+1) * min(a[j..i-1]) * f(j), with a stack of minima.
f, stack, acc = 1, [], 0
for i, x in enumerate(a):
    g = f * (1 if i % 2 == 0 else -1) % M
    while stack and stack[-1][0] >= x:
        v, s = stack.pop()
        acc = (acc - v * s) % M
        g = (g + s) % M
    stack.append((x, g))
    acc = (acc + x * g) % M
    f = acc * (1 if i % 2 == 0 else -1) % M
print(f % M)
",
        replace: "stack[-1][0] >= x",
        by: "stack[-1][0] > x + 1",
    },
    // Sums of different powers of n.
    Problem {
        id: "cc/52",
        right: r"
M = 10 ** 9 + 7
for _ in range(int(input())):
    n, k = map(int, input().split())
    print(sum(pow(n, i, M) for i in range(31) if k >> i & 1) % M)
",
        replace: "range(31)",
        by: "range(5)",
    },
    // Animals in pens.
    Problem {
        id: "cc/57",
        right: r"
for _ in range(int(input())):
    s, n, k = map(int, input().split())
    if s < k: print('NO')
    elif s == k: print('YES')
    else: print('NO' if s >= n // k * (k + k) + n % k else 'YES')
",
        replace: "s == k: print('YES')",
        by: "s == k: print('NO')",
    },
    // How many maps to study.
    Problem {
        id: "cc/67",
        right: r"
from fractions import Fraction as F
n, p = input().split()
n, p = int(n), F(p)
def ways(k):
    # Johnny discards a map that he has not studied; the opponent discards any of the three.
    r = n - k
    one = k * (r * (r - 1) // 2)
    two = k * (k - 1) // 2 * r
    three = k * (k - 1) * (k - 2) // 6
    return F(one + 2 * two + 2 * three, n * (n - 1) * (n - 2) // 3)
k = 0
while ways(k) < p:
    k += 1
print(k)
",
        replace: "2 * two",
        by: "two",
    },
    // Numbers taken from both ends.
    Problem {
        id: "cc/75",
        right: r"
n = int(input())
a = list(map(int, input().split()))
l = 1
while l < n and a[l] > a[l - 1]: l += 1
r = 1
while r < n and a[n - 1 - r] > a[n - r]: r += 1
i, j, last, turn = 0, n - 1, -1, 0
winner = None
while winner is None:
    # Taking the greater end commits the opponent to the other one, if that still helps.
    left = a[i] > last if i <= j else False
    right = a[j] > last if i <= j else False
    if not left and not right:
        winner = 1 - turn
        break
    def run(from_left):
        count = 1
        if from_left:
            k = i
            while k < j and a[k + 1] > a[k]: k, count = k + 1, count + 1
        else:
            k = j
            while k > i and a[k - 1] > a[k]: k, count = k - 1, count + 1
        return count
    if left and right:
        if a[i] > a[j]: greater, smaller = True, False
        else: greater, smaller = False, True
        if a[i] == a[j]:
            winner = turn if run(True) % 2 or run(False) % 2 else 1 - turn
            break
        if run(greater) % 2:
            winner = turn
            break
        last = a[i] if smaller else a[j]
        if smaller: i += 1
        else: j -= 1
    else:
        winner = turn if run(left) % 2 else 1 - turn
        break
    turn = 1 - turn
print('Alice' if winner == 0 else 'Bob')
",
        replace: "'Alice' if winner == 0",
        by: "'Alice' if winner == 1",
    },
    // Rooms of a factory.
    Problem {
        id: "cc/77",
        right: r"
import sys
n, m, *tiles = map(int, sys.stdin.read().split())
seen = [False] * (n * m)
sizes = []
for start in range(n * m):
    if seen[start]: continue
    seen[start] = True
    stack, size = [start], 0
    while stack:
        at = stack.pop()
        size += 1
        for bit, step in ((8, -m), (4, 1), (2, m), (1, -1)):
            if not tiles[at] & bit and 0 <= at + step < n * m and not seen[at + step]:
                seen[at + step] = True
                stack.append(at + step)
    sizes.append(size)
print(*sorted(sizes, reverse=True))
",
        replace: "reverse=True",
        by: "reverse=False",
    },
    // Banknotes.
    Problem {
        id: "cc/94",
        right: r"
for _ in range(int(input())):
    n, k = map(int, input().split())
    a = [10 ** int(x) for x in input().split()]
    k += 1
    total = 0
    for i in range(n):
        most = k if i + 1 == n else min(k, a[i + 1] // a[i] - 1)
        total += most * a[i]
        k -= most
    print(total)
",
        replace: "k += 1",
        by: "k += 0",
    },
    // A rising array in which no element divides the next.
    Problem {
        id: "cc/106",
        right: "for _ in range(int(input())):\n    n = int(input())\n    print(*range(2, n + 2))\n",
        replace: "range(2, n + 2)",
        by: "range(1, n + 1)",
    },
    // Numbers with zeros appended.
    Problem {
        id: "cc/113",
        right: r"
for _ in range(int(input())):
    (x, p), (y, q) = (input().split() for _ in range(2))
    a, b = len(x) + int(p), len(y) + int(q)
    if a == b:
        w = max(len(x), len(y))
        a, b = x.ljust(w, '0'), y.ljust(w, '0')
    print('<' if a < b else '>' if a > b else '=')
",
        replace: "x.ljust(w, '0')",
        by: "x.rjust(w, '0')",
    },
    // A common bit of a range.
    Problem {
        id: "cc/120",
        right: r"
size = 200001
zeros = []
for bit in range(18):
    row = [0] * (size + 1)
    for i in range(1, size + 1):
        row[i] = row[i - 1] + (not i >> bit & 1)
    zeros.append(row)
for _ in range(int(input())):
    l, r = map(int, input().split())
    print(min(row[r] - row[l - 1] for row in zeros))
",
        replace: "row[l - 1]",
        by: "row[l]",
    },
    // Three numbers from their sums.
    Problem {
        id: "cc/132",
        right: "for _ in range(int(input())):\n    b = list(map(int, input().split()))\n    print(b[0], b[1], b[6] - b[0] - b[1])\n",
        replace: "b[6] - b[0] - b[1]",
        by: "b[2]",
    },
    // A string written twice.
    Problem {
        id: "cc/139",
        right: "for _ in range(int(input())):\n    s = input()\n    h = len(s) // 2\n    print('YES' if s[:h] == s[h:] else 'NO')\n",
        replace: "s[:h] == s[h:]",
        by: "len(s) % 2 == 0",
    },
    // Squares and cubes.
    Problem {
        id: "cc/140",
        right: "liked = sorted({i * i for i in range(1, 31623)} | {i ** 3 for i in range(1, 1001)})\nfrom bisect import bisect\nfor _ in range(int(input())):\n    print(bisect(liked, int(input())))\n",
        replace: "range(1, 1001)",
        by: "range(1, 10)",
    },
];

#[test]
fn right_wrong_and_slow_programs() {
    let Some(folder) = std::env::var_os("RETORT_TEST_DATA") else {
        return eprintln!("SKIPPED: CodeContests are needed: set RETORT_TEST_DATA");
    };
    let verifier = match CodeVerifier::new(CodeSettings::default()) {
        Ok(verifier) => verifier,
        Err(error) => return eprintln!("SKIPPED: {error}"),
    };
    let impatient = CodeVerifier::new(CodeSettings { timeout_seconds: 0.5, ..CodeSettings::default() }).unwrap();
    let path = PathBuf::from(folder).join("datasets/code_contests_165_io_tests.jsonl");
    let tests: BTreeMap<String, String> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["tests"].to_string()))
        .collect();
    assert_eq!(PROBLEMS.len(), 20);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let judge = |verifier: &CodeVerifier, program: &dyn Fn(usize, &Problem) -> String| {
        let completions: Vec<String> =
            PROBLEMS.iter().enumerate().map(|(at, p)| format!("```python\n{}\n```", program(at, p))).collect();
        let cases: Vec<Case<'_>> = PROBLEMS
            .iter()
            .zip(&completions)
            .map(|(problem, completion)| Case { completion, tests: Some(&tests[problem.id]), ..Case::default() })
            .collect();
        verifier.verify_many(&cases, threads)
    };

    let right = judge(&verifier, &|_, problem| problem.right.to_owned());
    let wrong = judge(&verifier, &|_, problem| {
        assert!(problem.right.contains(problem.replace), "{}", problem.id);
        problem.right.replace(problem.replace, problem.by)
    });
    // Too slow in three ways: computing, sleeping, and computing in a child.
    let delays = [
        "for _ in range(10**12): pass",
        "import time\ntime.sleep(10**6)",
        "import os\nif os.fork():\n    os.wait()\nelse:\n    while True: pass",
    ];
    let slow = judge(&impatient, &|at, problem| format!("{}\n{}", delays[at % 3], problem.right));
    for (at, problem) in PROBLEMS.iter().enumerate() {
        let shown = |outcomes: &[retort_verify::code::CodeOutcome]| format!("{}: {:?}", problem.id, outcomes[at]);
        assert_eq!(right[at].outcome.verdict, Verdict::Correct, "{}", shown(&right));
        assert_eq!(wrong[at].outcome.verdict, Verdict::Incorrect, "{}", shown(&wrong));
        assert!(wrong[at].tests.iter().any(|test| test.status == TestStatus::WrongAnswer), "{}", shown(&wrong));
        assert_eq!(slow[at].outcome.verdict, Verdict::Incorrect, "{}", shown(&slow));
        assert_eq!(slow[at].tests[0].status, TestStatus::TimedOut, "{}", shown(&slow));
    }
}
