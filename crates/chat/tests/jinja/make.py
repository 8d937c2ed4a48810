#!/usr/bin/env python3
"""Random templates, and what transformers' Jinja makes of them: `make.py SEED COUNT FILE` (see `jinja.rs`).

Made with transformers 5.24.0 and Jinja2 3.1.6. A result of null means that the template fails; what follows is why.
"""

import copy, datetime, json, random, re, sys

from transformers.utils import chat_template_utils as u


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


u.datetime = Fixed
ctx = dict(
    s="a</think>b c\n",
    t="  Hello World-foo\t\n",
    e="",
    n=None,
    i=7,
    z=0,
    f=2.5,
    neg=-3,
    b=True,
    l=[3, 1, 2],
    ls=["b", "A", "c"],
    d={"b": 1, "a": {"x": [1, 2]}, "items": 5, "get": 0},
    ld=[{"role": "user", "content": "x", "k": 2}, {"role": "Assistant", "content": "y", "k": 1}, {"role": "user", "content": None}],
    tools=None,
    html="<a href='x'>&\"</a>",
    uni="ünï🙂 ß İ",
    nested={"properties": {"items": {"type": "array", "items": {"type": "string"}}}, "q": '"', "u": "é\u2028\x7f\x01"},
)
random.seed(int(sys.argv[1]))
N = int(sys.argv[2])
atoms = [
    "s",
    "t",
    "e",
    "n",
    "i",
    "z",
    "f",
    "neg",
    "b",
    "l",
    "ls",
    "d",
    "ld",
    "html",
    "uni",
    "nested",
    "missing",
    "tools",
    "'x'",
    "'%s'",
    "''",
    "1",
    "0",
    "2",
    "-1",
    "1.5",
    "true",
    "false",
    "none",
    "[]",
    "{}",
    "[1,'a']",
    "{'a':1}",
    "(1,2)",
    "('x',)",
    "range(3)",
    "d.a",
    "d['b']",
    "ld[0]",
    "ld[0].role",
    "l[0]",
    "s[0]",
    "nested.properties",
    "'a,b,,c'",
    "dict(a=1,b=2)",
    "namespace(x=1)",
]
filters = [
    "length",
    "count",
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "string",
    "safe",
    "e",
    "list",
    "first",
    "last",
    "join",
    "join(', ')",
    "reverse|list",
    "sort",
    "sort(reverse=true)",
    "unique|list",
    "default('D')",
    "default('D',true)",
    "d(0)",
    "tojson",
    "tojson(indent=2)",
    "tojson(separators=(',',':'))",
    "tojson(sort_keys=true)",
    "tojson(ensure_ascii=true)",
    "int",
    "float",
    "abs",
    "round",
    "round(1)",
    "sum",
    "min",
    "max",
    "map('upper')|list",
    "map(attribute='role')|list",
    "map(attribute='role')|join('-')",
    "selectattr('role','equalto','user')|list",
    "selectattr('content')|list",
    "rejectattr('content','none')|list",
    "select('string')|list",
    "reject('none')|list",
    "select|list",
    "dictsort",
    "dictsort(by='value')",
    "items|list",
    "indent",
    "indent(2,true)",
    "indent(first=true,blank=true)",
    "replace('a','Z')",
    "replace('l','L',1)",
    "center(20)",
    "wordcount",
    "batch(2)|list",
    "slice(2)|list",
    "groupby('role')|list",
    "format(1)",
    "format('q','r')",
    "truncate(5)",
    "truncate(5,true,'')",
    "attr('upper')",
    "map('length')|list",
    "urlencode",
    "select('odd')|list",
    "sort(attribute='role')",
    "map('tojson')|join",
    "first|default('none')",
    "length > 0",
    "e|length",
    "safe|upper",
    "unique(attribute='role')|list",
    "min(attribute='role')",
    "sum(attribute='k')",
    "map(attribute='k',default=0)|list",
    "float|int",
    "int(default=3)",
    "trim('a')",
    "xx",
]
tests = [
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "sequence",
    "iterable",
    "number",
    "integer",
    "float",
    "boolean",
    "true",
    "false",
    "callable",
    "odd",
    "even",
    "divisibleby 2",
    "eq 1",
    "equalto('x')",
    "ne none",
    "lt 3",
    "gt(1)",
    "in [1,'x',none]",
    "in s",
    "lower",
    "upper",
    "sameas none",
    "sameas true",
    "filter",
    "escaped",
    "ge 2",
    "== 1",
]
methods = [
    "upper()",
    "lower()",
    "strip()",
    "strip('a')",
    "lstrip('\\n ')",
    "rstrip()",
    "split()",
    "split(' ')",
    "split('b',1)",
    "rsplit(' ',1)",
    "split('</think>')[-1]",
    "splitlines()",
    "startswith('a')",
    "endswith(('c','\\n'))",
    "replace('a','b')",
    "replace('a','b',1)",
    "find('b')",
    "rfind('b')",
    "index('a')",
    "count('a')",
    "title()",
    "capitalize()",
    "swapcase()",
    "isdigit()",
    "isalpha()",
    "isupper()",
    "islower()",
    "isspace()",
    "isalnum()",
    "istitle()",
    "partition(' ')",
    "rpartition('b')",
    "removeprefix('a')",
    "removesuffix('c')",
    "zfill(10)",
    "center(9,'*')",
    "ljust(9)",
    "rjust(9)",
    "join(ls)",
    "join(['a','b'])",
    "format(1,x=2)",
    "get('a')",
    "get('zz','D')",
    "items()",
    "keys()",
    "values()",
    "items()|list",
    "keys()|list",
    "copy()",
    "items",
    "keys",
    "get",
    "upper",
    "append(1)",
    "pop()",
    "index(1)",
    "count(1)",
    "role",
    "x",
    "a",
    "content",
    "first",
    "length",
    "__class__",
    "is_integer()",
    "casefold()",
    "encode()",
]
binops = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]


def expr(d):
    r = random.random()
    if d <= 0 or r < 0.2:
        return random.choice(atoms)
    if r < 0.42:
        return f"{sub(d-1)}|{random.choice(filters)}"
    if r < 0.52:
        return f"({expr(d-1)} is {random.choice(['','not '])}{random.choice(tests)})"
    if r < 0.68:
        return f"{sub(d-1)}.{random.choice(methods)}"
    if r < 0.86:
        return f"({expr(d-1)} {random.choice(binops)} {expr(d-1)})"
    if r < 0.91:
        return f"({expr(d-1)} if {expr(d-1)}{random.choice([' else '+expr(d-1),''])})"
    if r < 0.95:
        return f"{sub(d-1)}[{random.choice(['0','-1','1:','::-1',':2','-2:','5','none','e',expr(d-1),'::2',chr(39)+'items'+chr(39)])}]"
    if r < 0.97:
        return f"({random.choice(['not ','-','+'])}{expr(d-1)})"
    return random.choice(
        [
            f"[{expr(d-1)}, {expr(d-1)}]",
            f"{{'k': {expr(d-1)}}}",
            f"({expr(d-1)},)",
            f"'{{}}'.format({expr(d-1)})",
            f"'%s|%r' % ({expr(d-1)}, {expr(d-1)})",
            f"'%5.2f' % {expr(d-1)}",
            f"'%d' % {expr(d-1)}",
            f"'{{:>8}}|{{!r}}'.format({expr(d-1)}, 1)",
            f"'{{:,.2f}}'.format({expr(d-1)})",
        ]
    )


def sub(d):
    e = expr(d)
    return e if random.random() < 0.7 and e[0].isalpha() and e.isidentifier() else f"({e})"


def stmt(d):
    r = random.random()
    w = lambda: random.choice(["", "-", ""])
    if d <= 0 or r < 0.25:
        return f"{{{{{w()} {expr(1)} {w()}}}}}"
    if r < 0.4:
        return f"{{%{w()} if {expr(1)} {w()}%}}{body(d-1)}{{% elif {expr(1)} %}}{body(d-1)}{{%{w()} else {w()}%}}{body(d-1)}{{% endif %}}"
    if r < 0.55:
        return f"{{%{w()} for v in {random.choice(['l','ls','ld','d','s','range(3)','d.items()','missing','e','[]','l|reverse'])} {random.choice(['','if loop is not defined','if v','if v != 1'])} {w()}%}}{random.choice(['{{ loop.index }}','{{ loop.last }}','{{ loop.length }}','{{ loop.revindex }}{{ loop.first }}','{{ loop.previtem }}|{{ loop.nextitem }}','{{ loop.cycle(1,2) }}','{{ loop.changed(v is string) }}','{{ v }}','{% if loop.index0 == 1 %}{% continue %}{% endif %}','{% if loop.index == 2 %}{% break %}{% endif %}','{% set i = i + 1 %}{{ i }}','{% set q = 1 %}'])}{body(d-1)}{random.choice(['{% else %}none','',''])}{{% endfor %}}"
    if r < 0.65:
        return f"{{% set {random.choice(['i','q','ns.x','s','a, q'])} = {random.choice([expr(1),'1, 2',expr(2)])} {w()}%}}"
    if r < 0.7:
        return f"{{% set q {random.choice(['','| upper','| trim | length'])} %}} {body(d-1)} {{% endset %}}{{{{ q }}}}"
    if r < 0.78:
        return f"{{% macro m(x, y={random.choice(['1','x','i','none'])}) {w()}%}}{random.choice(['{{ x }}-{{ y }}','{{ varargs }}{{ kwargs }}{{ x }}','{{ q }}{{ i }}{{ x }}','{{ caller() if caller else 1 }}','{{ loop }}'])}{{% endmacro %}}{random.choice(['{{ m(1) }}','{{ m(1,2) }}','{{ m(y=3) }}','{{ m(1,2,3) }}','{{ m(1, z=3) }}','{% call m(1) %}in{{ i }}{% endcall %}'])}"
    if r < 0.82:
        return f"{{% with i={expr(1)}, q=i %}}{body(d-1)}{{{{ q }}}}{{% endwith %}}{{{{ i }}}}"
    if r < 0.86:
        return f"{{% generation %}}{body(d-1)}{{% set i = 99 %}}{{% endgeneration %}}{{{{ i }}}}"
    if r < 0.9:
        return f"{{% filter upper %}}{body(d-1)}{{% endfilter %}}"
    if r < 0.93:
        return f"{{#{w()} c {w()}#}}"
    if r < 0.95:
        return f"{{%{w()} raw {w()}%}} {{{{ x }}}} {{% if %}}\n{{%{w()} endraw {w()}%}}"
    return random.choice(["text <b> \n", "  ", "\n", "\n\n   ", "{% set ns = namespace(x=0) %}", "{{ j() }}", "{% set j = joiner('; ') %}"])


def body(d):
    return "".join(random.choice(["", "", " ", "\n", "  \n  ", "x"]) + stmt(d) for _ in range(random.choice([1, 1, 2, 3])))


out = []
for k in range(N):
    src = (
        "{{ " + expr(random.choice([1, 2, 2, 3])) + " }}"
        if random.random() < 0.6
        else "{% set ns = namespace(x=0) %}{% set j = joiner() %}" + body(random.choice([1, 2, 2]))
    )
    # A slice of something constant is folded when the template is compiled, where it does not fail.
    if re.search(r"[\d)el]\[[^\]]*:", src):
        continue
    try:
        r = u._compile_jinja_template(src).render(messages=[], documents=None, add_generation_prompt=False, **copy.deepcopy(ctx))
        r.encode()
        if " at 0x" in r or "<bound" in r or "built-in" in r or "<function" in r:
            continue
        out.append([src, r])
    except RecursionError:
        continue
    except Exception as ex:
        out.append([src, None, type(ex).__name__ + ": " + str(ex)[:80]])
with open(sys.argv[3], "w", encoding="utf-8") as file:
    file.write('{"context": %s,\n"cases": [\n' % json.dumps(ctx, ensure_ascii=False))
    file.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in out))
    file.write("\n]}\n")
print(len(out), sum(o[1] is not None for o in out))
