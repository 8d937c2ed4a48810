# The program under test computes values and hands them over; it never learns what was expected, and nothing it writes
# can be more than a value.


def serve(payload):
    finish_site(payload["packages"])
    requests = open(posix.dup(0), "rb")
    replies = open(posix.dup(1), "wb")
    # What the program prints or asks for by itself goes nowhere and comes from nowhere.
    null = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(null, 0)
    posix.dup2(null, 1)

    def reply(message):
        replies.write(dumps(message).encode() + b"\n")
        replies.flush()

    def failed(error):
        return {"error": type(error).__name__, "text": shorten(str(error))}

    module = type(sys)("solution")
    sys.modules["solution"] = module
    try:
        if payload["prelude"]:
            exec(first_that_compiles([payload["prelude"], payload["prelude"] + "\n    pass\n"]), module.__dict__)
        code = first_that_compiles(payload["sources"])
        if payload.get("function"):
            module.__dict__.update(preloaded(payload["sources"][0], code, payload["function"]))
        exec(code, module.__dict__)
    except BaseException as error:
        reply(failed(error))
        return
    reply({"ready": True})

    def function(name):
        # LeetCode's form: a method of a class `Solution`, with a new object each time.
        solution = module.__dict__.get("Solution")
        if isinstance(solution, type) and hasattr(solution, name):
            return getattr(solution(), name)
        if name not in module.__dict__:
            raise NameError("name %r is not defined" % name)
        return module.__dict__[name]

    def can_change(given):
        arguments, named = given
        plain = (int, float, str, bytes, type(None))
        return any(not isinstance(value, plain) for value in arguments + list(named.values()))

    def ends(iterator, most):
        for _ in range(most):
            try:
                next(iterator)
            except StopIteration:
                return True
        return False

    def perform(request):
        operation = request["op"]
        local = lambda number, _: HANDLES["objects"][number]
        value = lambda key: decode(request[key], local)
        if operation == "names":
            known = [name for name in request["names"] if name in module.__dict__]
            return {"ok": {"d": [[name, encode(module.__dict__[name])] for name in known]}}
        target = function(request["name"]) if "name" in request else value("on")
        if operation == "call":
            arguments, named = value("args"), dict(value("named"))
            given = [arguments, named]
            # What the function makes of its arguments is part of what it does.
            before = dumps(encode(given)) if can_change(given) else None
            message = {"ok": encode(target(*arguments, **named))}
            if before is not None:
                after = encode(given)
                if dumps(after) != before:
                    message["args"] = after
            return message
        if operation == "get":
            return {"ok": encode(getattr(target, request["key"]))}
        if operation == "set":
            setattr(target, request["key"], value("value"))
            return {"ok": None}
        operations = {
            "iter": lambda: iter(target), "next": lambda: next(target), "len": lambda: len(target),
            "bool": lambda: bool(target), "str": lambda: str(target), "repr": lambda: repr(target),
            "item": lambda: target[value("key")],
            "ends": lambda: ends(target, request["most"]),
        }
        return {"ok": encode(operations[operation]())}

    for line in requests:
        try:
            message = perform(loads(line.decode()))
        except BaseException as error:
            message = failed(error)
        reply(message)
