# Runs the tests, which are the data set's own and trusted with the verdict, in a process that the program under test
# cannot reach: calls of the program go through a pipe to the other sandbox and come back as plain values.
import builtins


class Gone(BaseException):
    # The program ended or sent something that is no value. Not an `Exception`: a test must not catch it by accident.
    pass


def judge(payload):
    finish_site(payload["packages"])
    verdict = open(posix.dup(1), "wb")
    requests = open(posix.dup(2), "wb")
    null = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(null, 1)
    posix.dup2(null, 2)
    replies = open(posix.dup(0), "rb")
    posix.dup2(null, 0)
    state = {"gone": None, "last": None}

    def leave(message):
        state["gone"] = message
        raise Gone(message)

    def receive():
        line = replies.readline(payload["reply_bytes"])
        if not line.endswith(b"\n"):
            leave("the program ended" if len(line) < payload["reply_bytes"] else "a value is too large")
        try:
            return loads(line.decode())
        except Exception:
            leave("the program sent no value")

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
        if not isinstance(message, dict):
            leave("the program sent no value")
        if "error" in message:
            raise_for(message)
        try:
            return decode(message.get("ok"), Handle), message.get("args")
        except Exception:
            leave("the program sent no value")

    def refuse(value):
        if type(value) is Handle:
            return {"h": object.__getattribute__(value, "number")}
        raise TypeError("a test passes a %s, which cannot be handed over" % type(value).__name__)

    def send(value):
        return encode(value, refuse)

    def put_back(old, new):
        # A function that returns nothing may have changed its arguments: then that is its result.
        for before, after in zip(old, decode(new, Handle)):
            if type(before) is type(after) and isinstance(before, (list, bytearray)):
                before[:] = after
            elif type(before) is type(after) and isinstance(before, (dict, set)):
                before.clear()
                before.update(after)

    def call(target, arguments, named):
        request = {"op": "call", "args": send(list(arguments)), "named": send(named)}
        request.update(target)
        state["last"] = None
        try:
            result, changed = ask(request)
        except Exception as error:
            state["last"] = "raised %s: %s" % (type(error).__name__, error)
            raise
        state["last"] = "returned " + (shorten(repr(result)))
        if result is None and isinstance(changed, list):
            put_back(arguments, changed)
        return result

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
            return ask({"op": "get", "on": send(self), "key": name})[0]

        def __setattr__(self, name, value):
            ask({"op": "set", "on": send(self), "key": name, "value": send(value)})

        def __getitem__(self, key):
            return ask({"op": "item", "on": send(self), "key": send(key)})[0]

        def __repr__(self):
            return "<object of the program: %s>" % object.__getattribute__(self, "kind")

    def forward(name, operation):
        setattr(Handle, name, lambda self: ask({"op": operation, "on": send(self)})[0])

    for name in ("iter", "next", "len", "bool", "str"):
        forward("__%s__" % name, name)

    class Entry(object):
        # The function under test, by its name.
        def __init__(self, name):
            self.__name__ = name

        def __call__(self, *arguments, **named):
            return call({"name": self.__name__}, arguments, named)

    def nodes(tree):
        # As `ast.walk`.
        found = [tree]
        for node in found:
            for field in node._fields:
                value = getattr(node, field, None)
                found += [item for item in (value if isinstance(value, list) else [value]) if hasattr(item, "_fields")]
        return found

    def bind(trees, scope):
        # Gives the tests the names that they use and only the program defines. Never a builtin (`set`, `len`), unless
        # the tests name nothing else, and never a module: else the program could do the comparing.
        used, called, dotted = [], [], []
        for tree in trees:
            for node in nodes(tree):
                kind = type(node).__name__
                inner = getattr(node, {"Call": "func", "Attribute": "value"}.get(kind, ""), None)
                if kind == "Name" and node.id not in used:
                    used.append(node.id)
                elif type(inner).__name__ == "Name":
                    (called if kind == "Call" else dotted).append(inner.id)
        standard = getattr(sys, "stdlib_module_names", sys.builtin_module_names)
        for name in used:
            if name in dotted and name in standard and name not in scope:
                scope[name] = __import__(name)
        wanted = [name for name in used if name not in scope]
        known = ask({"op": "names", "names": wanted})[0]
        if not isinstance(known, dict):
            leave("the program sent no value")
        own = [name for name in wanted if name in known and not hasattr(builtins, name)]
        if not any(name in called for name in own):
            shadowing = [name for name in wanted if name in known and hasattr(builtins, name) and name in called]
            own += shadowing if len(shadowing) == 1 else []
        for name in own:
            value = known[name]
            scope[name] = Entry(name) if name in called and type(value) is Handle else value

    results, fault = [], None
    try:
        scope = {"__name__": "tests"}
        try:
            # The prelude may end with the head of the function under test.
            prelude = first_that_compiles([payload["prelude"], payload["prelude"] + "\n    pass\n"], "prelude.py")
            codes = [prelude] + [compile(source, "tests.py", "exec") for source in payload["tests"]]
            if payload["entry"] is None:
                syntax_only = 0x400
                sources = [payload["prelude"]] + payload["tests"]
                trees = [compile(source, "tests.py", "exec", syntax_only) for source in sources]
        except (SyntaxError, ValueError) as error:
            fault = "the tests do not compile: %s" % error
            raise Gone(fault)
        first = receive()
        if not (isinstance(first, dict) and first.get("ready") is True):
            error = first if isinstance(first, dict) else {}
            leave("the program does not load: %s: %s" % (error.get("error"), error.get("text")))
        entry = payload["entry"]
        if entry is None:
            bind(trees, scope)
        if any("random" in source for source in [payload["prelude"]] + payload["tests"]):
            import random
            random.seed(0)
        exec(codes[0], scope)
        if entry is not None:
            scope[entry] = Entry(entry)
        for source, code in zip(payload["tests"], codes[1:]):
            state["last"] = None
            try:
                exec(code, scope)
                error = state["gone"]
            except Gone as gone:
                error = str(gone)
            except BaseException as raised:
                lines, step = [], raised.__traceback__
                while step:
                    lines += [step.tb_lineno] if step.tb_frame.f_code.co_filename == "tests.py" else []
                    step = step.tb_next
                line = source.splitlines()[lines[-1] - 1].strip() if lines else ""
                error = "%s at `%s`" % (type(raised).__name__, shorten(line))
                if str(raised):
                    error += ": " + shorten(str(raised))
                if state["last"]:
                    error += "; the call " + state["last"]
            results.append({"passed": error is None, "reason": error})
    except Gone as gone:
        results += [{"passed": False, "reason": str(gone)}] * (len(payload["tests"]) - len(results))
    except BaseException as raised:
        # Only the prelude can get here. It may use the program's classes, so this may be the program's fault.
        reason = "the set-up of the tests raised %s: %s" % (type(raised).__name__, shorten(str(raised)))
        results += [{"passed": False, "reason": reason}] * (len(payload["tests"]) - len(results))
    verdict.write(dumps({"tests": results, "fault": fault}).encode())
    verdict.flush()
