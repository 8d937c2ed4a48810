//! What a program sends is its own doing: replies that are none, values that never end, names that the tests did not
//! import. And what an honest program does in unusual ways counts.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::sync::OnceLock;

use retort_records::Verdict;
use retort_verify::Case;
use retort_verify::code::{CodeSettings, CodeVerifier, SandboxChoice};
use serde_json::{Value, json};

/// A verifier for each sandbox that works here.
fn verifiers() -> &'static [CodeVerifier] {
    static VERIFIERS: OnceLock<Vec<CodeVerifier>> = OnceLock::new();
    VERIFIERS.get_or_init(|| {
        let build = |sandbox| {
            let settings = CodeSettings { sandbox, timeout_seconds: 1.0, memory_mb: 256, ..CodeSettings::default() };
            let system = vec!["/usr/bin/python3".to_owned(), "{file}".to_owned()];
            CodeVerifier::new(settings.clone())
                .or_else(|_| CodeVerifier::new(CodeSettings { command: system, ..settings }))
                .inspect_err(|error| eprintln!("SKIPPED: {error}"))
                .ok()
        };
        [SandboxChoice::Builtin, SandboxChoice::Bubblewrap].into_iter().filter_map(build).collect()
    })
}

/// Judges all of `cases` (a program, its tests, the verdict that is due) in each sandbox and shows every miss.
fn judge(cases: &[(&str, Value, Verdict)]) {
    let texts: Vec<(String, String)> =
        cases.iter().map(|(program, tests, _)| (format!("```python\n{program}\n```"), tests.to_string())).collect();
    let all: Vec<Case<'_>> =
        texts.iter().map(|(completion, tests)| Case { completion, tests: Some(tests), ..Case::default() }).collect();
    let mut missed = Vec::new();
    for verifier in verifiers() {
        for ((program, tests, due), got) in cases.iter().zip(verifier.verify_many(&all, 2)) {
            if got.outcome.verdict != *due {
                let (got, isolation) = (got.outcome, verifier.isolation());
                let got = format!("got {:?}: {}", got.verdict, got.reason);
                missed.push(format!("{isolation}\n{program}\n{tests}\ndue {due:?}, {got}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn asserts(tests: &[&str]) -> Value {
    json!({ "test_list": tests })
}

fn calls(inputs: Value, outputs: Value) -> Value {
    json!({"fn_name": "f", "inputs": inputs, "outputs": outputs})
}

use Verdict::{Correct, Incorrect, Undecided};

/// A program that writes `lines` to every descriptor it has.
fn writes(lines: &str) -> String {
    format!(
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, rb'''{lines}\n''')\n    except OSError: pass\nos._exit(0)"
    )
}

#[test]
fn forged_replies_are_no_values() {
    let object = || calls(json!([[1]]), json!([{"a": 1, "b": 2}]));
    let one = || calls(json!([[1]]), json!([1]));
    let ready = "{\"ready\": true}\n";
    let of = |reply: &str| writes(&format!("{ready}{reply}"));
    let repeated_pair = of(r#"{"ok": {"d": [["a", 1], ["a", 1]]}}"#);
    let repeated_reply = of(r#"{"ok": 2, "ok": 1}"#);
    let escaped_reply = of(r#"{"ok": 2, "\u006fk": 1}"#);
    let repeated_tag = of(r#"{"ok": {"d": [["a", 1]], "d": [["a", 1], ["b", 2]]}}"#);
    let two_tags = of(r#"{"ok": {"i": "0x1", "d": []}}"#);
    let more_keys = of(r#"{"ok": 1, "passed": true}"#);
    let surrogate = of(r#"{"ok": 1, "text": "\ud800"}"#);
    let not_ready = writes("{\"ok\": null}\n{\"ok\": 1}");
    let honest_pair = of(r#"{"ok": {"d": [["a", 1], ["b", 2]]}}"#);
    judge(&[
        (&repeated_pair, object(), Incorrect),
        (&repeated_reply, one(), Incorrect),
        (&escaped_reply, one(), Incorrect),
        (&repeated_tag, object(), Incorrect),
        (&two_tags, one(), Incorrect),
        (&more_keys, one(), Incorrect),
        (&surrogate, one(), Incorrect),
        (&not_ready, one(), Incorrect),
        // Whoever knows the right value may write it however it likes.
        (&honest_pair, object(), Correct),
    ]);
    let known = r#"{"ok": {"d": [["f", {"h": 0, "n": "function"}]]}}"#;
    let of = |reply: &str| writes(&format!("{ready}{known}\n{reply}"));
    let test = |right: &str| asserts(&[&format!("assert f(1) == {right}")]);
    judge(&[
        (&of(r#"{"ok": 2, "ok": 1}"#), test("1"), Incorrect),
        (&of(r#"{"ok": {"d": [["a", 1], ["a", 1]]}}"#), test("{'a': 1}"), Incorrect),
        (&of(r#"{"ok": {"s": [1, 1]}}"#), test("{1}"), Incorrect),
        (&of(r#"{"ok": {"z": [1, 1]}}"#), test("{1}"), Incorrect),
        (&of(r#"{"ok": {"t": [1], "t": [1, 2]}}"#), test("(1, 2)"), Incorrect),
        (&of(r#"{"passed": true}"#), test("None"), Incorrect),
        (&of(r#"{"ok": NaN}"#), test("1"), Incorrect),
        (&of("{\"ok\": \"\u{0}\"}"), test("1"), Incorrect),
        (&of("[1]"), test("1"), Incorrect),
        (&of(&"[".repeat(100_000)), test("1"), Incorrect),
        (&of(&format!("{{\"ok\": {}}}", "9".repeat(1 << 20))), test("1"), Incorrect),
        (&writes(ready), test("1"), Incorrect),
        (&of(r#"{"error": "StopIteration", "text": ""}"#), asserts(&["assert all(map(f, [1, 2]))"]), Incorrect),
        (&format!("import time\n{}", of(r#"{"ok": 1}"#).replace("os._exit(0)", "time.sleep(1)")), test("1"), Correct),
    ]);
}

#[test]
fn half_a_surrogate_pair_is_a_value_of_the_program() {
    let text = || asserts(&["assert f(1) == 'abc'"]);
    judge(&[
        (r"def f(x): raise ValueError('\ud800')", text(), Incorrect),
        (r"def f(x): return '\ud800'", text(), Incorrect),
        (r"def f(x): return {'\udfff': ['\ud800']}", text(), Incorrect),
        (r"class E(Exception): pass", text(), Incorrect),
        ("def f(x): raise type('E\\ud800', (Exception,), {})('x')", text(), Incorrect),
        (r"def f(x): return type('N\ud800', (), {})()", text(), Incorrect),
        (r"def f(x): return '\ud800'", calls(json!([[1]]), json!(["abc"])), Incorrect),
        (r"def f(x): raise ValueError('\ud800')", calls(json!([[1]]), json!(["abc"])), Incorrect),
        (r"raise ValueError('\ud800')", text(), Incorrect),
        (r"raise ValueError('\ud800')", calls(json!([[1]]), json!(["abc"])), Incorrect),
        (
            "import sys\nsys.stdout.buffer.write(b'\\xed\\xa0\\x80')",
            json!({"inputs": [""], "outputs": ["\u{fffd}\u{fffd}\u{fffd}"]}),
            Incorrect,
        ),
        ("import sys\nsys.stdout.buffer.write(b'\\xff')", json!({"inputs": [""], "outputs": ["\u{fffd}"]}), Incorrect),
        (r"def f(x): return x", asserts(&[r"assert f('\ud800') == '\ud800'"]), Correct),
    ]);
}

#[test]
fn iterators_without_an_end_hold_nothing() {
    let count = "import itertools\ndef f(x): return itertools.count()";
    let generator = "def f(x):\n    n = 0\n    while True:\n        yield n\n        n += 1";
    let class = "class C:\n    def __iter__(self):\n        n = 0\n        while True:\n            yield n\n            n += 1\ndef f(x): return C()";
    let items = "class C:\n    def __getitem__(self, i): return i\ndef f(x): return C()";
    let large = "def f(x):\n    while True: yield 'x' * (1 << 20)";
    let finite = "def f(x): return iter(range(5000))";
    let mut cases = Vec::new();
    for program in [count, generator, class, items] {
        cases.push((program, asserts(&["assert 4711 in f(1)"]), Incorrect));
        cases.push((program, asserts(&["assert 5 in f(1)"]), Incorrect));
    }
    for test in [
        "assert any(x == 4711 for x in f(1))",
        "assert list(f(1)) == [1, 2]",
        "assert sorted(f(1)) == [1, 2]",
        "assert sum(f(1)) == 3",
        "assert set(f(1)) == {1}",
        "assert max(f(1)) == 4711",
        "for x in f(1):\n    assert x >= 0",
        "for x in f(1):\n    if x == 4711: break\nelse:\n    assert False",
        "assert len(list(f(1))) > 3",
        "a, *b = f(1)\nassert a == 0",
    ] {
        cases.push((count, asserts(&[test]), Incorrect));
    }
    cases.push((large, asserts(&["assert ''.join(f(1)) == 'x'"]), Incorrect));
    cases.push((large, asserts(&["assert list(f(1)) == []"]), Incorrect));
    // A range holds what it holds; what is too long to walk through is no value.
    cases.push(("def f(x): return range(10**15)", asserts(&["assert sum(f(1)) == 3"]), Incorrect));
    cases.push((finite, asserts(&["assert 4711 in f(1)"]), Correct));
    cases.push((finite, asserts(&["assert any(x == 4711 for x in f(1))"]), Correct));
    cases.push((finite, asserts(&["assert list(f(1)) == list(range(5000))"]), Correct));
    cases.push((generator, asserts(&["g = f(1)\nassert [next(g) for _ in range(3)] == [0, 1, 2]"]), Correct));
    cases.push((
        generator,
        asserts(&["import itertools\nassert list(itertools.islice(f(1), 5)) == [0, 1, 2, 3, 4]"]),
        Correct,
    ));
    cases.push(("def f(x): return range(x)", asserts(&["assert list(f(4)) == [0, 1, 2, 3] and 2 in f(3)"]), Correct));
    judge(&cases);
}

#[test]
fn the_tests_are_not_to_blame_for_the_programs_values() {
    // The program itself is quick; its values keep whoever judges busy.
    let collide = "def f(x): return {k * (2**61 - 1): 0 for k in range(30000)}";
    let long = "def f(x): return 1 << (1 << 26)";
    let nested = "def f(x):\n    y = []\n    for _ in range(200): y = [y]\n    return y";
    let lists = "def f(x): return [[] for _ in range(3 << 20)]";
    judge(&[
        (collide, asserts(&["assert f(1) == {}"]), Incorrect),
        (long, asserts(&["assert f(1) == 3"]), Incorrect),
        (long, asserts(&["assert str(f(1)) == '3'"]), Incorrect),
        (nested, asserts(&["assert f(1) == 3"]), Incorrect),
        (lists, asserts(&["assert sorted(f(1)) == [3]"]), Incorrect),
        ("def f(x): return __import__('decimal').Decimal('1e999999')", asserts(&["assert int(f(1)) == 3"]), Incorrect),
        // Tests that do not work by themselves are.
        ("def f(x): return x", asserts(&["while True: pass\nassert f(1) == 1"]), Undecided),
        ("def f(x): return x", asserts(&["assert 1 == 1"]), Undecided),
    ]);
}

#[test]
fn a_librarys_name_is_the_librarys() {
    let counter = || asserts(&["assert Counter(f('aab')) == Counter({'a': 2, 'b': 1})"]);
    judge(&[
        ("class Counter:\n    def __new__(c, *a): return 0\ndef f(x): return 1", counter(), Incorrect),
        ("Counter = lambda *a: 0\ndef f(x): return 1", counter(), Incorrect),
        ("from collections import Counter\ndef f(x): return list(x)", counter(), Correct),
        ("def f(x): return list(x)", counter(), Correct),
        ("def isclose(*a, **k): return True\ndef f(x): return 1", asserts(&["assert isclose(f(2), 0.5)"]), Incorrect),
        ("from math import isclose\ndef f(x): return 1 / x", asserts(&["assert isclose(f(2), 0.5)"]), Correct),
        (
            "class math:\n    sqrt = staticmethod(lambda x: 1)\ndef f(x): return 1",
            asserts(&["assert f(9) == math.sqrt(9)"]),
            Incorrect,
        ),
        ("def sqrt(x): return 1\ndef f(x): return 1", asserts(&["assert f(9) == sqrt(9)"]), Incorrect),
        (
            "class collections:\n    Counter = staticmethod(lambda *a: 0)\ndef f(x): return 1",
            asserts(&["assert collections.Counter(f('a')) == collections.Counter('b')"]),
            Incorrect,
        ),
        ("def deepcopy(x): return 1\ndef f(x): return 1", asserts(&["assert f([1]) == deepcopy([1])"]), Incorrect),
        // The function under test may have such a name, and classes of the program are its own.
        ("def gcd(a, b): return a if not b else gcd(b, a % b)", asserts(&["assert gcd(12, 18) == 6"]), Correct),
        ("def gcd(a, b): return 1", asserts(&["assert gcd(12, 18) == 6"]), Incorrect),
        (
            "class Counter:\n    def __init__(self): self.n = 0\n    def up(self):\n        self.n += 1\n        return self.n",
            asserts(&["c = Counter()\nassert c.up() == 1 and c.up() == 2"]),
            Correct,
        ),
        (
            "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\ndef f(p): return p.a + p.b",
            asserts(&["assert f(Pair(1, 2)) == 3"]),
            Correct,
        ),
        // Two builtins of its own, of which nobody can say which is under test.
        ("def max(*a): return 0\ndef abs(x): return 0", asserts(&["assert max(abs(-3), 2) == 3"]), Undecided),
    ]);
    for verifier in verifiers() {
        let program =
            "```python\nclass np:\n    @staticmethod\n    def allclose(*a, **k): return True\ndef f(x): return 1\n```";
        let tests = asserts(&["assert np.allclose(f(2), [1, 2])"]).to_string();
        let outcome = verifier.check(&Case { completion: program, tests: Some(&tests), ..Case::default() });
        assert_ne!(outcome.outcome.verdict, Correct, "{:?}", outcome.outcome);
    }
}

#[test]
fn names_that_graders_give_are_there() {
    let solution = "class Solution:\n    def f(self, x: List[int], y: Optional[Dict[str, int]] = None) -> Tuple[int, ...]:\n        return";
    judge(&[
        (&format!("{solution} sum(x)"), calls(json!([[[1, 2, 3]]]), json!([6])), Correct),
        (
            &format!("{solution} max(Counter(x).values()) + inf * 0 if False else gcd(*x)"),
            calls(json!([[[4, 6]]]), json!([2])),
            Correct,
        ),
        (
            &format!("{solution} heapq.nlargest(1, x) + list(accumulate(x))"),
            calls(json!([[[1, 2]]]), json!([[2, 1, 3]])),
            Correct,
        ),
        (
            &format!("{solution} reduce(lambda a, b: a + b, sorted(x, key=cmp_to_key(lambda a, b: a - b)))"),
            calls(json!([[[1, 2]]]), json!([3])),
            Correct,
        ),
        (
            "@lru_cache(None)\ndef g(n): return n if n < 2 else g(n - 1) + g(n - 2)\ndef f(x): return g(x)",
            calls(json!([[30]]), json!([832040])),
            Correct,
        ),
        (
            "def f(x: 'List[int]') -> int:\n    d: Deque[int] = deque(x)\n    return d.popleft()",
            calls(json!([[[7]]]), json!([7])),
            Correct,
        ),
        (
            "def solve(x: List[int]) -> int: return sum(x)\nprint(solve(list(map(int, input().split()))))",
            json!({"inputs": ["1 2"], "outputs": ["3"]}),
            Correct,
        ),
        // What the program defines is its own, and what it lacks it lacks.
        ("def gcd(a, b): return 7\ndef f(x): return gcd(1, 2)", calls(json!([[1]]), json!([7])), Correct),
        (
            "count = 3\ndef f(x):\n    global total\n    total = count\n    return total",
            calls(json!([[1]]), json!([3])),
            Correct,
        ),
        ("def f(x): return nothing_of_the_kind(x)", calls(json!([[1]]), json!([1])), Incorrect),
        ("gcd", json!({"fn_name": "gcd", "inputs": [[4, 6]], "outputs": [2]}), Incorrect),
        ("def g(): return gcd", json!({"fn_name": "gcd", "inputs": [[4, 6]], "outputs": [2]}), Incorrect),
    ]);
}

#[test]
fn integers_of_any_size_are_printed_and_returned() {
    let power = num_bigint::BigInt::from(3u8).pow(12_000).to_string();
    let longer = num_bigint::BigInt::from(7u8).pow(60_000).to_string();
    let of_calls = |digits: &str| {
        // `serde_json` would round the number: the text is put in by hand.
        serde_json::from_str::<Value>(&json!({"fn_name": "f", "inputs": ["7\n60000"], "outputs": [digits]}).to_string())
            .unwrap()
    };
    judge(&[
        ("print(3 ** int(input()))", json!({"inputs": ["12000"], "outputs": [power]}), Correct),
        ("print(3 ** int(input()) + 1)", json!({"inputs": ["12000"], "outputs": [power]}), Incorrect),
        (
            "print(len(str(10 ** int(input()))), int('1' * 9000) % 7)",
            json!({"inputs": ["20000"], "outputs": ["20001 0"]}),
            Correct,
        ),
        ("def f(a, b): return a ** b", of_calls(&longer), Correct),
        ("def f(a, b): return a ** b + 1", of_calls(&longer), Incorrect),
        (
            "def f(a): return 10 ** a",
            asserts(&["assert f(20000) == 10 ** 20000", "assert str(f(5000)) == '1' + '0' * 5000"]),
            Correct,
        ),
        ("def f(a): return 10 ** a + 1", asserts(&["assert f(20000) == 10 ** 20000"]), Incorrect),
        ("def f(a): return -a", asserts(&["assert f(10 ** 9000) == -10 ** 9000"]), Correct),
    ]);
}

#[test]
fn what_a_function_does_to_its_arguments_counts() {
    let dedup = "def dedup(l):\n    s = sorted(set(l))\n    l[:] = s\n    return len(s)";
    judge(&[
        (dedup, asserts(&["L = [1, 1, 2]\nk = dedup(L)\nassert k == 2 and L[:2] == [1, 2]"]), Correct),
        (dedup, asserts(&["L = [1, 1, 2]\nassert dedup(L) == 2 and L[:2] == [1, 2]"]), Correct),
        (dedup, asserts(&["L = [1, 1, 2]\nassert dedup(L) == 2", "assert L == [1, 2]"]), Correct),
        (
            "def dedup(l): return len(set(l))",
            asserts(&["L = [1, 1, 2]\nk = dedup(L)\nassert k == 2 and L == [1, 2]"]),
            Incorrect,
        ),
        (
            "def f(d, k):\n    d[k] = d.get(k, 0) + 1\n    return d[k]",
            asserts(&["d = {}\nassert f(d, 'a') == 1 and f(d, 'a') == 2 and d == {'a': 2}"]),
            Correct,
        ),
        (
            "def f(s, x):\n    s.add(x)\n    return len(s)",
            asserts(&["s = {1}\nn = f(s, 2)\nassert (n, s) == (2, {1, 2})"]),
            Correct,
        ),
        (
            "def f(m):\n    for r in m: r.reverse()\n    return m",
            asserts(&["row = [1, 2]\nm = [row, [3]]\nr = f(m)\nassert row == [2, 1] and m[0] is row and r == m"]),
            Correct,
        ),
        (
            "def f(*, x):\n    x.append(1)\n    return 5",
            asserts(&["x = []\nn = f(x=x)\nassert (n, x) == (5, [1])"]),
            Correct,
        ),
        (
            "def f(t):\n    t[0].append(1)\n    return 5",
            asserts(&["a = []\nn = f((a, 2))\nassert (n, a) == (5, [1])"]),
            Correct,
        ),
        (
            "def f(d):\n    d['a'].pop()\n    return 0",
            asserts(&["v = [1, 2]\nd = {'a': v}\nf(d)\nassert v == [1] and d['a'] is v"]),
            Correct,
        ),
        (
            "def f(q):\n    q.popleft()\n    return 1",
            asserts(&["from collections import deque\nq = deque([1, 2])\nn = f(q)\nassert n == 1 and list(q) == [2]"]),
            Correct,
        ),
        (
            "def f(b):\n    b[0] = 7\n    return 1",
            asserts(&["b = bytearray(b'ab')\nn = f(b)\nassert n == 1 and b == bytearray([7, 98])"]),
            Correct,
        ),
        ("def f(x): x.sort()", asserts(&["a = [2, 1]\nassert f(a) is None and a == [1, 2]"]), Correct),
        // An argument that stays is what it was, and its own.
        (
            "def f(x): return sorted(x)",
            asserts(&["a = [2, 1]\nb = a\nassert f(a) == [1, 2] and a == [2, 1] and a is b"]),
            Correct,
        ),
        // Bending what one is compared with does not help.
        ("def f(x):\n    x.clear()\n    return []", asserts(&["a = [3, 1]\nassert f(a) == sorted(a)"]), Incorrect),
        ("def f(x):\n    x[:] = [1]\n    return 1", asserts(&["a = [3, 1, 3]\nassert f(a) == len(a)"]), Incorrect),
        ("def f(x):\n    x.sort()\n    return x", asserts(&["a = [3, 1]\nassert f(a) == sorted(a)"]), Correct),
    ]);
    let check = "def check(candidate):\n    a = [3, 1]\n    assert candidate(a) == sorted(a)\n    b = [2, 1]\n    r = candidate(b)\n    assert b == r == [1, 2], 'in place'\n";
    let humaneval = || json!({"prompt": "def f(x):\n    'x'\n", "entry_point": "f", "test": check});
    judge(&[
        ("def f(x):\n    x.sort()\n    return x", humaneval(), Correct),
        ("def f(x):\n    x.clear()\n    return x", humaneval(), Incorrect),
        ("def f(x): return sorted(x)", humaneval(), Incorrect),
    ]);
}

#[test]
fn the_same_case_has_the_same_verdict() {
    let cases = [
        ("import itertools\ndef f(x): return itertools.count()", asserts(&["assert list(f(1)) == [1, 2]"])),
        ("def f(x): raise ValueError('\\ud800')", asserts(&["assert f(1) == 'abc'"])),
        ("import os\ndef f(x):\n    os.kill(os.getpid(), 9)", asserts(&["assert f(1) == 1"])),
    ];
    for (program, tests) in cases {
        let completion = format!("```python\n{program}\n```");
        let tests = tests.to_string();
        for verifier in verifiers() {
            let case = Case { completion: &completion, tests: Some(&tests), ..Case::default() };
            let verdicts: Vec<Verdict> = (0..3).map(|_| verifier.check(&case).outcome.verdict).collect();
            assert_eq!(verdicts, [Incorrect; 3], "{program}");
        }
    }
}
