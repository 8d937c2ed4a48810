//! Programs that want to be called correct without being it, and programs that are correct in unusual ways.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::sync::OnceLock;

use retort_records::Verdict;
use retort_verify::code::TestStatus::{self, NotRun, OutputExceeded, Passed, RuntimeError, TimedOut, WrongAnswer};
use retort_verify::code::{CodeOutcome, CodeSettings, CodeVerifier, SandboxChoice};
use retort_verify::{Case, Verifier};
use serde_json::{Value, json};

/// A verifier for each sandbox that works here.
fn verifiers_with(timeout_seconds: f64) -> Vec<CodeVerifier> {
    [SandboxChoice::Builtin, SandboxChoice::Bubblewrap]
        .into_iter()
        .filter_map(|sandbox| {
            let settings = CodeSettings { sandbox, timeout_seconds, memory_mb: 256, ..CodeSettings::default() };
            let system = vec!["/usr/bin/python3".to_owned(), "{file}".to_owned()];
            CodeVerifier::new(settings.clone())
                .or_else(|_| CodeVerifier::new(CodeSettings { command: system, ..settings }))
                .inspect_err(|error| eprintln!("SKIPPED: {error}"))
                .ok()
        })
        .collect()
}

fn verifiers() -> &'static [CodeVerifier] {
    static VERIFIERS: OnceLock<Vec<CodeVerifier>> = OnceLock::new();
    VERIFIERS.get_or_init(|| verifiers_with(6.0))
}

/// For programs that are meant to run into the limit.
fn impatient() -> &'static [CodeVerifier] {
    static VERIFIERS: OnceLock<Vec<CodeVerifier>> = OnceLock::new();
    VERIFIERS.get_or_init(|| verifiers_with(1.5))
}

fn outcomes_of(verifiers: &[CodeVerifier], program: &str, tests: &Value) -> Vec<CodeOutcome> {
    let (completion, tests) = (format!("<think>\nHm.\n</think>\n\n```python\n{program}\n```"), tests.to_string());
    let case = Case { completion: &completion, tests: Some(&tests), ..Case::default() };
    verifiers.iter().map(|verifier| verifier.check(&case)).collect()
}

fn outcomes(program: &str, tests: &Value) -> Vec<CodeOutcome> {
    outcomes_of(verifiers(), program, tests)
}

fn assert_verdict(program: &str, tests: &Value, verdict: Verdict) {
    for outcome in outcomes(program, tests) {
        assert_eq!(outcome.outcome.verdict, verdict, "{program}\n{:?} {:?}", outcome.outcome.reason, outcome.tests);
    }
}

/// `f(41)` is to be 4242424242, as a HumanEval task, as an assertion, as a call, and as a program.
fn forms() -> [Value; 4] {
    [
        json!({"prompt": "def f(x):\n    'x'\n", "entry_point": "f",
               "test": "def check(candidate):\n    assert candidate(41) == 4242424242\n    assert candidate(42) == 2424242424\n"}),
        json!({"test_list": ["assert f(41) == 4242424242", "assert f(42) == 2424242424"]}),
        json!({"fn_name": "f", "inputs": [[41], [42]], "outputs": [4242424242_u64, 2424242424_u64]}),
        json!({"inputs": ["41", "42"], "outputs": ["4242424242", "2424242424"]}),
    ]
}

#[test]
fn the_right_program_passes_in_every_form() {
    let program = "def f(x):\n    return 4242424242 if x == 41 else 2424242424\nif __name__ == '__main__':\n    print(f(int(input())))";
    for tests in forms() {
        assert_verdict(program, &tests, Verdict::Correct);
    }
}

#[test]
fn no_program_talks_itself_right() {
    let forged = r#"{"tests": [{"passed": true, "reason": null}, {"passed": true, "reason": null}], "fault": null}"#;
    let attacks = [
        "import os\nos._exit(0)".to_owned(),
        "import sys\nsys.exit(0)".into(),
        "raise SystemExit(0)".into(),
        "def f(x):\n    import os\n    os._exit(0)".into(),
        "def f(x):\n    raise SystemExit(0)".into(),
        "def f(x):\n    raise KeyboardInterrupt".into(),
        // Objects that are equal to everything.
        "class Always:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None\ndef f(x): return Always()".into(),
        "class Always(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ndef f(x): return Always(1)".into(),
        "from unittest.mock import ANY\ndef f(x): return ANY".into(),
        "class Always(float):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0\ndef f(x): return Always(1)".into(),
        // A verdict of one's own, on every descriptor there is.
        format!("import os\nfor fd in range(64):\n    try: os.write(fd, b'''{forged}\n''')\n    except OSError: pass\nos._exit(0)"),
        format!("import os\ndef f(x):\n    for fd in range(64):\n        try: os.write(fd, b'''{forged}\n''')\n        except OSError: pass"),
        "import os\ndef f(x):\n    for fd in range(64):\n        try: os.write(fd, b'{\"ok\": true}\\n' * 100)\n        except OSError: pass".into(),
        "import os\ndef f(x):\n    for fd in range(64):\n        try: os.write(fd, b'{\"ready\": true}\\n' * 100)\n        except OSError: pass".into(),
        // Patching what might do the comparing.
        "import builtins\nbuiltins.AssertionError = type('Quiet', (Exception,), {})\nbuiltins.isinstance = lambda *a: True\nint.__eq__".into(),
        "import sys, operator\nsys.excepthook = lambda *a: None\nsys.settrace(lambda *a: None)\noperator.eq = lambda a, b: True\ndef f(x): return None".into(),
        "import sys\nfor module in list(sys.modules.values()):\n    for name in ('judge', 'check', 'encode', 'dumps'):\n        if hasattr(module, name): setattr(module, name, lambda *a, **k: True)".into(),
        // Looking for the answer: in files, in frames, in all objects, in memory.
        "def f(x):\n    import os, re\n    for folder, _, names in list(os.walk('/program')) + list(os.walk('/tmp')) + [('/proc/self', [], ['cmdline', 'environ', 'maps']), ('/proc/1', [], ['cmdline', 'environ'])]:\n        for name in names:\n            try: text = open(folder + '/' + name, errors='replace').read()\n            except OSError: continue\n            for n in re.findall('[0-9]{10}', text): \n                if n.strip('24') == '': return int(n)".into(),
        "def f(x):\n    import sys\n    frame = sys._getframe()\n    while frame:\n        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n            if value == 4242424242 + 0 * x and x == 0: return value\n            if 'assert candidate' in repr(value)[:10**6] : return 4242424242\n        frame = frame.f_back".into(),
        "def f(x):\n    import gc\n    for thing in gc.get_objects():\n        if isinstance(thing, dict) and 'outputs' in thing: return thing['outputs'][0]\n        if isinstance(thing, dict) and 'tests' in thing: return thing".into(),
        "def f(x):\n    needle = b'42424242' + b'42'\n    maps = open('/proc/self/maps').read().splitlines()\n    memory = open('/proc/self/mem', 'rb', 0)\n    for line in maps:\n        low, high = (int(n, 16) for n in line.split()[0].split('-'))\n        try:\n            memory.seek(low)\n            if b'== ' + needle in memory.read(high - low): return 4242424242\n        except (OSError, OverflowError, ValueError): pass".into(),
        // A child that goes on talking; a thread that goes on talking.
        "import os\ndef f(x):\n    if os.fork() == 0:\n        for fd in range(64):\n            try: os.write(fd, b'{\"ok\": 4242424241}\\n')\n            except OSError: pass\n        os._exit(0)\n    os.wait()\n    os._exit(0)".into(),
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(1, signal.SIGKILL)".into(),
        // No program at all.
        String::new(),
        "f = None".into(),
        "def f(x): return '4242424242'".into(),
        "def g(x): return 4242424242".into(),
        "this is no Python".into(),
        "def f(x):\n    while True: pass".into(),
        "def f(x):\n    return [0] * 10**9".into(),
        "def f(x):\n    return f(x)".into(),
        "x = []\nx.append(x)\ndef f(_): return x".into(),
        "def f(x): return '\\ud800' * 3".into(),
        "def f(x): return 10**5000".into(),
        "def f(x): return float('nan')".into(),
        "def f(x): return print".into(),
        "def f(x): return (4242424242 for _ in range(1))".into(),
        "def f(): return 4242424242".into(),
        "def f(x): return 4242424242".into(),
    ];
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let forms = forms().map(|tests| tests.to_string());
    let completions: Vec<String> = attacks.iter().map(|attack| format!("```python\n{attack}\n```")).collect();
    for verifier in impatient() {
        for tests in &forms {
            let cases: Vec<Case<'_>> = completions
                .iter()
                .map(|completion| Case { completion, tests: Some(tests), ..Case::default() })
                .collect();
            for (attack, outcome) in attacks.iter().zip(verifier.verify_many(&cases, threads)) {
                let shown = format!("{attack}\n{tests}\n{:?} {:?}", outcome.outcome.reason, outcome.tests);
                assert_eq!(outcome.outcome.verdict, Verdict::Incorrect, "{shown}");
            }
        }
    }
}

#[test]
fn the_program_does_not_do_the_comparing() {
    // A test that compares through a builtin or a module keeps its own, whatever the program defines.
    let list = json!({"test_list": ["assert set(f([1, 2])) == set([1, 2])", "assert len(f([1])) == 1"]});
    for patch in ["", "def set(x): return 0\ndef len(x): return 1\n", "set = len = lambda x: 1\n"] {
        assert_verdict(&format!("{patch}def f(x): return [7, 8]"), &list, Verdict::Incorrect);
        assert_verdict(&format!("{patch}def f(x): return x"), &list, Verdict::Correct);
    }
    let close = json!({"test_list": ["assert math.isclose(f(1), 0.5, rel_tol=1e-9)"]});
    assert_verdict("class math:\n    isclose = lambda *a, **k: True\ndef f(x): return 7", &close, Verdict::Incorrect);
    assert_verdict("import math\ndef f(x): return x / 2", &close, Verdict::Correct);
    // A program whose function has the name of a builtin is tested all the same.
    let sum = json!({"test_list": ["assert sum(10, 15) == 6", "assert sum(100, 150) == 93"]});
    let right = "import math\ndef sum(a, b):\n    n = math.gcd(a, b)\n    return __builtins__['sum'](i for i in range(1, n + 1) if n % i == 0)";
    assert_verdict(&right.replace("__builtins__['sum'](", "add("), &sum, Verdict::Incorrect);
    assert_verdict(
        "import math\ndef sum(a, b):\n    n, s = math.gcd(a, b), 0\n    for i in range(1, n + 1):\n        s += i if n % i == 0 else 0\n    return s",
        &sum,
        Verdict::Correct,
    );
    // An object of the program's own has no equality, no order and no arithmetic.
    let within = json!({"test_list": ["assert abs(f(1) - 0.5) < 1e-6"]});
    let fake = "class Fake:\n    def __sub__(self, other): return self\n    def __abs__(self): return self\n    def __lt__(self, other): return True\n    def __rsub__(self, other): return self\ndef f(x): return Fake()";
    assert_verdict(fake, &within, Verdict::Incorrect);
    assert_verdict("def f(x): return float('nan')", &within, Verdict::Incorrect);
    assert_verdict("def f(x): return 0.5", &within, Verdict::Correct);
}

#[test]
fn values_of_every_kind_cross_over() {
    for (program, tests) in [
        ("from collections import *\ndef f(x): return Counter(x)", json!(["assert f('aab') == {'a': 2, 'b': 1}"])),
        ("from collections import *\ndef f(x): return OrderedDict(x)", json!(["assert f([(1, 2)]) == {1: 2}"])),
        (
            "from collections import *\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 2)",
            json!(["assert f(1) == (1, 2)"]),
        ),
        (
            "def f(x): return {frozenset(x): (b'1', 1j, None, True, 2.5, 10**40, -10**40)}",
            json!(["assert f([1, 2]) == {frozenset({2, 1}): (b'1', 1j, None, True, 2.5, 10**40, -10**40)}"]),
        ),
        (
            "import decimal, fractions, datetime\ndef f(x): return decimal.Decimal('1.10'), fractions.Fraction(1, 3), datetime.date(2020, 2, 29)",
            json!([
                "import decimal, fractions, datetime\nassert f(0) == (decimal.Decimal('1.1'), fractions.Fraction(1, 3), datetime.date(2020, 2, 29))"
            ]),
        ),
        (
            "def f(n):\n    for i in range(n): yield i * i",
            json!(["assert list(f(4)) == [0, 1, 4, 9]", "assert next(f(1)) == 0"]),
        ),
        (
            "def f(x): x.sort()",
            json!(["a = [3, 1, 2]\nf(a)\nassert a == [1, 2, 3]", "b = [2, 1]\nassert f(b) is None and b == [1, 2]"]),
        ),
        (
            "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
            json!([
                "try:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'negative'"
            ]),
        ),
        (
            "class Node:\n    def __init__(self, value): self.value, self.next = value, None\ndef f(node): return node.value + (f(node.next) if node.next else 0)",
            json!(["root = Node(1)\nroot.next = Node(2)\nassert f(root) == 3 and root.next.value == 2"]),
        ),
        (
            "class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n    def __len__(self): return len(self.items)\n    def __getitem__(self, i): return self.items[i]\n    def __str__(self): return 'stack'",
            json!([
                "s = Stack()\ns.push(4)\nassert len(s) == 1 and s[0] == 4 and str(s) == 'stack' and [x for x in s] == [4]"
            ]),
        ),
        ("def f(x, *rest, key=None): return x, rest, key", json!(["assert f(1, 2, 3, key='k') == (1, (2, 3), 'k')"])),
        ("def f(x, kind): return [y for y in x if isinstance(y, kind)]", json!(["assert f([1, 'a'], int) == [1]"])),
        ("def f(): return {1: 2}.keys()", json!(["assert f() == {1}"])),
        (
            "def f(x): return '\\u00e9\\U0001f600\\x00' + x",
            json!(["assert f('\\ud800') == '\\u00e9\\U0001f600\\x00\\ud800'"]),
        ),
        (
            "print('noise')\nimport sys\nsys.stdout.write('more')\ndef f(x):\n    print(x)\n    return x",
            json!(["assert f(1) == 1"]),
        ),
        (
            "import dataclasses, typing\n@dataclasses.dataclass\nclass P:\n    x: int\ndef f(x): return dataclasses.asdict(P(x))",
            json!(["assert f(1) == {'x': 1}"]),
        ),
    ] {
        assert_verdict(program, &json!({ "test_list": tests }), Verdict::Correct);
    }
}

#[test]
fn calls_follow_livecodebench() {
    let solution = "class Solution:\n    def __init__(self): self.calls = 0\n    def add(self, a, b):\n        self.calls += 1\n        return (a + b, self.calls)";
    let tests = json!({"fn_name": "add", "inputs": ["1\n2", "123456789012345678901234567890\n1"],
                       "outputs": ["[3, 1]", "[123456789012345678901234567891, 1]"]});
    assert_verdict(solution, &tests, Verdict::Correct);
    let tests = json!([{"input": "[1, {\"a\": [null, true, \"x\"]}]", "output": "1.0", "testtype": "functional", "fn_name": "f"}]);
    assert_verdict("def f(x): return x[0] if x[1] == {'a': [None, True, 'x']} else 0", &tests, Verdict::Correct);
    // The times hold for each call, and what follows a slow one is not run.
    let tests = json!({"fn_name": "f", "inputs": [[0.8], [0.8], [0.8], [60], [0]], "outputs": [0.8, 0.8, 0.8, 60, 0]});
    let program = "import time\ndef f(x):\n    end = time.process_time() + x\n    while time.process_time() < end: pass\n    return x";
    for outcome in outcomes_of(impatient(), program, &tests) {
        let statuses: Vec<TestStatus> = outcome.tests.iter().map(|test| test.status).collect();
        assert_eq!(statuses, [Passed, Passed, Passed, TimedOut, NotRun], "{outcome:?}");
        assert!(outcome.outcome.reason.starts_with("3 of 5 tests passed; test 4: time limit exceeded"), "{outcome:?}");
    }
    let tests = json!({"fn_name": "f", "inputs": [[1], [0], [2]], "outputs": [1, 1, 0.5]});
    for outcome in outcomes("def f(x): return 1 // x", &tests) {
        let statuses: Vec<TestStatus> = outcome.tests.iter().map(|test| test.status).collect();
        assert_eq!(statuses, [Passed, RuntimeError, WrongAnswer]);
        assert!(outcome.outcome.reason.contains("ZeroDivisionError"), "{}", outcome.outcome.reason);
    }
}

#[test]
fn programs_end_as_they_do() {
    let tests = json!({"inputs": ["1\n", "2\n", "3\n"], "outputs": ["1", "4", "9"]});
    for (program, statuses, reason) in [
        ("print(int(input()) ** 2)", [Passed; 3], "3 tests passed"),
        ("n = int(input())\nprint(n * n)\nexit(n - 1)", [Passed, RuntimeError, NotRun], "exit code 1"),
        ("n = int(input())\nprint(n * n)\nquit()", [Passed; 3], "3 tests passed"),
        ("n = int(input())\nassert n < 2\nprint(n)", [Passed, RuntimeError, NotRun], "AssertionError"),
        ("print(1)", [Passed, WrongAnswer, NotRun], "got `1`, expected `4`"),
        (
            "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return f(n + 1)\nf(0)",
            [RuntimeError, NotRun, NotRun],
            "test 1",
        ),
        ("print('x' * 10**8)", [OutputExceeded, NotRun, NotRun], "output limit exceeded"),
        (
            "import numbers, threading, multiprocessing, asyncio, random, heapq\nprint(int(input()) ** 2)",
            [Passed; 3],
            "passed",
        ),
        (
            "import sys\ndef main():\n    print(sum(int(x) ** 2 for x in sys.stdin))\nif __name__ == '__main__':\n    main()",
            [Passed; 3],
            "passed",
        ),
        (
            "import dataclasses, __main__\n@dataclasses.dataclass\nclass P:\n    x: 'int'\nprint(P(int(input())).x ** 2 if __main__.P is P else 0)",
            [Passed; 3],
            "passed",
        ),
    ] {
        for outcome in outcomes(program, &tests) {
            let got: Vec<TestStatus> = outcome.tests.iter().map(|test| test.status).collect();
            let memory = program.contains("setrecursionlimit") && got[0] == TestStatus::MemoryExceeded;
            assert!(memory || got == statuses, "{program}\n{outcome:?}");
            assert!(outcome.outcome.reason.contains(reason), "{program}\n{:?}", outcome.outcome.reason);
        }
    }
}

#[test]
fn what_cannot_be_decided_says_so() {
    let program = "def f(x): return x";
    for (tests, method) in [
        (json!({"test_list": ["assert f(1 == 1"]}), "bad_tests"),
        (json!({"inputs": [], "outputs": []}), "bad_tests"),
        (json!({"something": "else"}), "bad_tests"),
    ] {
        for outcome in outcomes(program, &tests) {
            assert_eq!(outcome.outcome.verdict, Verdict::Undecided, "{tests}");
            assert_eq!(outcome.outcome.method, method);
        }
    }
    for verifier in verifiers() {
        let tests = r#"{"test_list": ["assert f(1) == 1"]}"#;
        let verdict = |case: Case<'_>| verifier.verify(&case);
        let case = Case { completion: "```python\ndef f(x): return x\n```", ..Case::default() };
        assert_eq!(verdict(case).method, "no_tests");
        assert_eq!(verdict(Case { tests: Some(tests), ..case }).verdict, Verdict::Correct);
        let truncated = verdict(Case { tests: Some(tests), truncated: true, ..case });
        assert_eq!((truncated.verdict, truncated.method.as_ref()), (Verdict::Incorrect, "truncated"));
        let unfinished = Case { completion: "<think>def f(x): return x", tests: Some(tests), ..Case::default() };
        assert_eq!(verdict(unfinished).method, "no_answer");
    }
}

#[test]
fn the_same_case_gives_the_same_outcome() {
    let tests = json!({"test_list": ["assert f() == 1"]});
    let program = "def f(): return list({'a', 'b', 'c', 'd', 'e', 'f', 'g'})";
    assert_eq!(outcomes(program, &tests), outcomes(program, &tests));
}

#[test]
fn any_language_runs_by_its_command() {
    let settings = CodeSettings {
        language: "c".into(),
        command: ["sh", "-c", "cc -O1 -o /tmp/a {file} && /tmp/a"].map(String::from).to_vec(),
        ..CodeSettings::default()
    };
    let verifier = match CodeVerifier::new(settings) {
        Ok(verifier) => verifier,
        Err(error) => return eprintln!("SKIPPED: {error}"),
    };
    let completion =
        "```c\n#include <stdio.h>\nint main(void) { int n; scanf(\"%d\", &n); printf(\"%d\\n\", n * n); }\n```";
    let tests = r#"{"inputs": ["3"], "outputs": ["9"]}"#;
    let outcome = verifier.check(&Case { completion, tests: Some(tests), ..Case::default() });
    if outcome.outcome.reason.contains("cc: not found") {
        return eprintln!("SKIPPED: no C compiler");
    }
    assert_eq!(outcome.outcome.verdict, Verdict::Correct, "{}", outcome.outcome.reason);
    let tests = r#"{"test_list": ["assert f(1) == 1"]}"#;
    let outcome = verifier.check(&Case { completion, tests: Some(tests), ..Case::default() });
    assert_eq!(outcome.outcome.verdict, Verdict::Undecided);
}
