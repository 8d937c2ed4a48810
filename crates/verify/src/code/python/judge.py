# Runs the tests, which are the data set's own and trusted with the verdict, in a process that the program under test
# cannot reach: calls of the program go through a pipe to the other sandbox and come back as plain values.
import builtins

# Steps into an iterator after which it must have an end, and the longest that is looked for.
FAR, LONGEST = 1000, 1000000
# Modules by the names that tests give them without an import.
INSTALLED = {"np": "numpy", "pd": "pandas", "nx": "networkx", "sp": "sympy", "plt": "matplotlib", "tf": "tensorflow"}


class Gone(BaseException):
    # The program ended or sent something that is no value. Not an `Exception`: a test must not catch it by accident.
    pass


class Again(BaseException):
    # The tests must run once more, carefully.
    pass


def nodes(tree):
    # As `ast.walk`.
    found = [tree]
    for node in found:
        for field in node._fields:
            value = getattr(node, field, None)
            found += [item for item in (value if isinstance(value, list) else [value]) if hasattr(item, "_fields")]
    return found


def through_compare(tree):
    # Lets each comparison of an assertion go through `__compare__`.
    import _ast
    kinds = lambda node: {type(inner).__name__ for inner in nodes(node)}

    def through(node):
        if isinstance(node, _ast.Compare):
            if "Call" not in kinds(node) or kinds(node) & {"NamedExpr", "Await", "Yield", "YieldFrom"}:
                return node
            place = {key: getattr(node, key) for key in ("lineno", "col_offset", "end_lineno", "end_col_offset")}
            nothing = _ast.arguments(posonlyargs=[], args=[], vararg=None, kwonlyargs=[], kw_defaults=[], kwarg=None,
                                     defaults=[])
            later = _ast.Lambda(args=nothing, body=node, **place)
            compare = _ast.Name(id="__compare__", ctx=_ast.Load(), **place)
            return _ast.Call(func=compare, args=[later], keywords=[], **place)
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                value[:] = [through(item) if hasattr(item, "_fields") else item for item in value]
            elif hasattr(value, "_fields"):
                setattr(node, field, through(value))
        return node

    for node in nodes(tree):
        if type(node).__name__ == "Assert":
            node.test = through(node.test)
    return tree


def restore(old, new):
    # Makes `old`, which the tests hold, what the program has made of it. What stands inside keeps its identity where it
    # can. False where a value cannot be changed, only replaced.
    if type(old) is not type(new):
        return False
    kind = type(old).__name__
    if isinstance(old, list) or kind == "deque":
        items = [before if restore(before, after) else after for before, after in zip(old, new)]
        items += list(new)[len(items):]
        old.clear()
        old.extend(items)
        return True
    if isinstance(old, dict):
        items = [(key, old[key] if key in old and restore(old[key], value) else value) for key, value in new.items()]
        old.clear()
        dict.update(old, items)
        return True
    if isinstance(old, set):
        old.clear()
        old.update(new)
        return True
    if isinstance(old, bytearray):
        old[:] = new
        return True
    if isinstance(old, tuple) and len(old) == len(new):
        return all([restore(before, after) or before == after for before, after in zip(old, new)])
    return False


def describe(value, form=repr):
    # For a reason: short, and quick whatever the value.
    digits_limit(4300)
    try:
        return shorten(form(value))
    except BaseException:
        return "a value that is too large to show"
    finally:
        digits_limit(0)


def judge(payload):
    finish_site(payload["packages"])
    verdict = open(posix.dup(1), "wb")
    requests = open(posix.dup(2), "wb")
    null = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(null, 1)
    posix.dup2(null, 2)
    replies = open(posix.dup(0), "rb")
    posix.dup2(null, 0)
    state = {"gone": None, "last": None, "used": False, "comparing": 0, "again": False}
    changes, steps = [], {}

    def leave(message):
        state["gone"] = message
        raise Gone(message)

    def receive():
        line = replies.readline(payload["reply_bytes"])
        if not line.endswith(b"\n"):
            leave("the program ended" if len(line) < payload["reply_bytes"] else "a value is too large")
        try:
            message = loads(line.decode())
        except Exception:
            message = None
        if not isinstance(message, dict):
            leave("the program sent no value")
        return message

    def raise_for(message):
        known = getattr(builtins, str(message["error"]), None)
        if not (isinstance(known, type) and issubclass(known, Exception)):
            known = RuntimeError
        text = str(message.get("text"))
        raise known(text) if known.__name__ == message["error"] else RuntimeError("%s: %s" % (message["error"], text))

    def ask(request):
        if state["gone"]:
            raise Gone(state["gone"])
        try:
            requests.write(dumps(request).encode() + b"\n")
            requests.flush()
        except OSError:
            leave("the program ended")
        message = receive()
        if "error" in message:
            raise_for(message)
        if "ok" not in message:
            leave("the program sent no value")
        try:
            return decode(message["ok"], Handle), decode(message.get("args"), Handle)
        except Exception:
            leave("the program sent no value")

    def use(request):
        # From here on the tests work with values of the program: if they never end, it is the program's doing.
        if not state["used"]:
            state["used"] = True
            verdict.write(b"\n")
            verdict.flush()
        return ask(request)

    def refuse(value):
        if type(value) is Handle:
            return {"h": object.__getattribute__(value, "number")}
        raise TypeError("a test passes a %s, which cannot be handed over" % type(value).__name__)

    def send(value):
        return encode(value, refuse)

    def call(target, arguments, named):
        request = {"op": "call", "args": send(list(arguments)), "named": send(named)}
        request.update(target)
        state["last"] = None
        try:
            result, changed = use(request)
        except Exception as error:
            state["last"] = ("raised", "%s: %s" % (type(error).__name__, error))
            if isinstance(error, StopIteration):
                # It would quietly end the loop of the test that called.
                raise RuntimeError("the program raised StopIteration")
            raise
        state["last"] = ("returned", result)
        if changed is not None:
            if result is not None and not payload["careful"]:
                state["again"] = True
                raise Again
            change = lambda: [restore(old, new) for old, new in zip([list(arguments), named], changed)]
            if state["comparing"] and result is not None:
                changes.append(change)
            else:
                change()
        return result

    def compare(evaluate):
        # What a call that returns a value does to its arguments shows when the comparison around it is over: else it
        # could bend what it is compared with, as in `f(x) == sorted(x)`. Few programs do such a thing, and to prepare
        # for it takes time: only careful runs do.
        state["comparing"] += 1
        try:
            return evaluate()
        finally:
            state["comparing"] -= 1
            while changes and not state["comparing"]:
                changes.pop(0)()

    def must_end(iterator):
        number = object.__getattribute__(iterator, "number")
        steps.pop(number, None)
        if use({"op": "ends", "on": send(iterator), "most": LONGEST})[0] is not True:
            leave("the program's iterator does not end")

    class Handle(object):
        # Stands for an object of the program that is not plain data. It has no equality but identity, no order and
        # no arithmetic: whatever is compared is a value that this process rebuilt itself.
        __slots__ = ("number", "kind")

        def __init__(self, number, kind):
            object.__setattr__(self, "number", number)
            object.__setattr__(self, "kind", kind)

        def __eq__(self, other):
            number = lambda handle: object.__getattribute__(handle, "number")
            return type(other) is Handle and number(self) == number(other)

        def __hash__(self):
            return hash(object.__getattribute__(self, "number"))

        def __call__(self, *arguments, **named):
            return call({"on": send(self)}, arguments, named)

        def __getattribute__(self, name):
            if name.startswith("__") and name.endswith("__"):
                return object.__getattribute__(self, name)
            return use({"op": "get", "on": send(self), "key": name})[0]

        def __setattr__(self, name, value):
            use({"op": "set", "on": send(self), "key": name, "value": send(value)})

        def __getitem__(self, key):
            return use({"op": "item", "on": send(self), "key": send(key)})[0]

        def __next__(self):
            number = object.__getattribute__(self, "number")
            try:
                item = use({"op": "next", "on": send(self)})[0]
            except StopIteration:
                steps.pop(number, None)
                raise
            steps[number] = steps.get(number, 0) + 1
            return item

        def __contains__(self, item):
            # An iterator without an end would hold everything.
            iterator = iter(self)
            found = any(one is item or one == item for one in iterator)
            if type(iterator) is Handle:
                must_end(iterator)
            return found

        def __repr__(self):
            return "<object of the program: %s>" % object.__getattribute__(self, "kind")

    def forward(name, operation):
        setattr(Handle, name, lambda self: use({"op": operation, "on": send(self)})[0])

    for name in ("iter", "len", "bool", "str"):
        forward("__%s__" % name, name)

    class Entry(object):
        # The function under test, by its name.
        def __init__(self, name):
            self.__name__ = name

        def __call__(self, *arguments, **named):
            return call({"name": self.__name__}, arguments, named)

    def bind(trees, scope):
        # Gives the tests the names that they use and only the program defines. Never a builtin (`set`, `len`), a
        # library's name (`Counter`, `sqrt`) or a module, unless the tests call nothing else of the program: else the
        # program could do the comparing. A library's names that the tests leave out are their own all the same.
        used, called, dotted = [], [], []
        for tree in trees:
            for node in nodes(tree):
                kind = type(node).__name__
                inner = getattr(node, {"Call": "func", "Attribute": "value"}.get(kind, ""), None)
                if kind == "Name" and node.id not in used:
                    used.append(node.id)
                elif type(inner).__name__ == "Name":
                    (called if kind == "Call" else dotted).append(inner.id)
        wanted = [name for name in used if name not in scope and name != "__compare__"]
        standard = getattr(sys, "stdlib_module_names", sys.builtin_module_names)
        libraries = {name: place for name, place in library().items() if name in wanted}
        for name in wanted:
            if name in dotted and (name in standard or name in INSTALLED or name in INSTALLED.values()):
                libraries[name] = (INSTALLED.get(name, name), None)
        known = ask({"op": "names", "names": wanted})[0]
        if not isinstance(known, dict):
            leave("the program sent no value")
        shadows = lambda name: hasattr(builtins, name) or name in libraries
        own = [name for name in wanted if name in known and not shadows(name)]
        if not any(name in called for name in own):
            shadowing = [name for name in wanted if name in known and shadows(name) and name in called]
            own += shadowing if len(shadowing) == 1 else []
        for name in own:
            value = known[name]
            state["used"] = state["used"] or not (name in called and type(value) is Handle)
            scope[name] = Entry(name) if name in called and type(value) is Handle else value
        for name in wanted:
            if name in libraries and name not in own and not hasattr(builtins, name):
                try:
                    value = load_library(*libraries[name])
                except ImportError:
                    return "the tests use `%s`, which they do not import and which is not installed" % name
                if value is not None:
                    scope[name] = value

    results, fault = [], None
    try:
        scope = {"__name__": "tests", "__compare__": compare}
        entry = payload["entry"]
        try:
            # The prelude may end with the head of the function under test.
            prelude = first_that_compiles([payload["prelude"], payload["prelude"] + "\n    pass\n"], "prelude.py")
            syntax_only, trees, sources = 0x400, [], payload["tests"]
            if entry is None or payload["careful"]:
                trees = sources = [compile(source, "tests.py", "exec", syntax_only) for source in payload["tests"]]
            if payload["careful"]:
                sources = [through_compare(tree) for tree in trees]
            codes = [compile(source, "tests.py", "exec") for source in sources]
            if entry is None:
                trees = trees + [compile(payload["prelude"], "prelude.py", "exec", syntax_only)]
        except (SyntaxError, ValueError) as error:
            fault = "the tests do not compile: %s" % error
            raise Gone(fault)
        first = receive()
        if first != {"ready": True}:
            leave("the program does not load: %s: %s" % (first.get("error"), first.get("text")))
        # White space before the verdict says how far the tests came, should they never end: here the program is loaded.
        verdict.write(b" ")
        verdict.flush()
        if entry is None:
            fault = bind(trees, scope)
            if fault:
                raise Gone(fault)
        if any("random" in source for source in [payload["prelude"]] + payload["tests"]):
            import random
            random.seed(0)
        exec(prelude, scope)
        if entry is not None:
            for source, code in zip(payload["tests"], codes):
                for name, value in preloaded(source, code).items():
                    scope.setdefault(name, value)
            scope[entry] = Entry(entry)
        for source, code in zip(payload["tests"], codes):
            state["last"] = None
            try:
                exec(code, scope)
                for number in [number for number, count in steps.items() if count > FAR]:
                    must_end(Handle(number, "iterator"))
                error = state["gone"]
            except Again:
                raise
            except Gone as gone:
                error = str(gone)
            except BaseException as raised:
                lines, step = [], raised.__traceback__
                while step:
                    lines += [step.tb_lineno] if step.tb_frame.f_code.co_filename == "tests.py" else []
                    step = step.tb_next
                line = source.splitlines()[lines[-1] - 1].strip() if lines else ""
                error = "%s at `%s`" % (type(raised).__name__, shorten(line))
                text = describe(raised, str)
                error += ": " + text if text else ""
                if state["last"]:
                    what, value = state["last"]
                    error += "; the call %s %s" % (what, describe(value, str if what == "raised" else repr))
            results.append({"passed": error is None, "reason": error})
        if all(result["passed"] for result in results) and not state["used"]:
            fault = "the tests never use the program"
    except Gone as gone:
        results += [{"passed": False, "reason": str(gone)}] * (len(payload["tests"]) - len(results))
    except Again:
        pass
    except BaseException as raised:
        # Only the prelude can get here. It may use the program's classes, so this may be the program's fault.
        reason = "the set-up of the tests raised %s: %s" % (type(raised).__name__, describe(raised, str))
        results += [{"passed": False, "reason": reason}] * (len(payload["tests"]) - len(results))
    for result in results:
        result["reason"] = result["reason"] and shorten(result["reason"], 2000)
    verdict.write(dumps({"tests": results, "fault": fault and shorten(fault), "again": state["again"]}).encode())
    verdict.flush()
    # To tidy up would take a tenth of all the time.
    posix._exit(0)
