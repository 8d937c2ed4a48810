# Values as JSON, between a program and whoever judges it. Both sides begin with this file.
# Only plain data is rebuilt on the other side: no pickle, no class of the sender. Anything else travels as a number
# that stands for it ("handle"), so an object cannot bring its own idea of equality along.
#
# Two interpreters start for each program, so this file imports nothing that is not built in: `json` alone, through
# `re`, doubles the time to start.
import posix


def one_of_each(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


# Integers of any size are printed and read; see `environment` in the sandbox.
digits_limit = getattr(sys, "set_int_max_str_digits", lambda digits: None)

try:
    import _json

    class _Plain(object):
        strict, object_hook, object_pairs_hook, parse_constant, memo = True, None, one_of_each, None, {}
        parse_float, parse_int = float, int

    _scan = _json.make_scanner(_Plain)
    _write = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ":", ",", False, False, True)

    def loads(text):
        # Long integers come in hexadecimal digits, which take no longer than they are long; decimal ones would.
        digits_limit(4300)
        try:
            value, end = _scan(text, 0)
        finally:
            digits_limit(0)
        if text[end:].strip():
            raise ValueError("not a value")
        return value

    def dumps(value):
        return "".join(_write(value, 0))

    if loads(dumps({"a": [1, 1.5, "\n", None, True]})) != {"a": [1, 1.5, "\n", None, True]}:
        raise ImportError
except (ImportError, AttributeError, TypeError):
    import json
    from json import dumps

    def loads(text):
        return json.loads(text, object_pairs_hook=one_of_each)

TYPES = {kind.__name__: kind for kind in (
    bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, range, set, str, tuple, type(None))}
HANDLES = {"objects": {}, "numbers": {}}


def handle_of(value):
    number = HANDLES["numbers"].get(id(value))
    if number is None:
        number = len(HANDLES["objects"])
        HANDLES["objects"][number] = value
        HANDLES["numbers"][id(value)] = number
    return {"h": number, "n": type(value).__name__}


def encode(value, other=handle_of):
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        value = int.__index__(value)
        return value if -(1 << 53) < value < 1 << 53 else {"i": hex(value)}
    if isinstance(value, float):
        value = float.__float__(value)
        return value if value - value == 0.0 else {"f": repr(value)}
    many = lambda items: [encode(item, other) for item in items]
    pairs = lambda items: [[encode(k, other), encode(v, other)] for k, v in items]
    if isinstance(value, list):
        return many(list.__iter__(value))
    if isinstance(value, tuple):
        return {"t": many(tuple.__iter__(value))}
    if isinstance(value, dict):
        tag = "d"
        # Nobody can have made one without the module.
        module = sys.modules.get("collections")
        if module and isinstance(value, module.Counter):
            tag = "C"
        elif module and isinstance(value, module.OrderedDict):
            tag = "O"
        return {tag: pairs(dict.items(value))}
    if isinstance(value, set):
        return {"s": many(set.__iter__(value))}
    if isinstance(value, frozenset):
        return {"z": many(frozenset.__iter__(value))}
    if isinstance(value, (bytes, bytearray)):
        return {"b" if isinstance(value, bytes) else "B": bytes(value).hex()}
    kind = type(value)
    if kind is complex:
        return {"c": [encode(value.real), encode(value.imag)]}
    if kind is range:
        return {"r": many([value.start, value.stop, value.step])}
    if kind is type and TYPES.get(value.__name__) is value:
        return {"y": value.__name__}
    if kind is type({}.keys()) or kind is type({}.values()) or kind is type({}.items()):
        return {"v": [kind.__name__, pairs(dict(value.mapping).items())]} if hasattr(value, "mapping") else other(value)
    name = (kind.__module__, kind.__name__)
    if name == ("collections", "deque"):
        return {"q": many(value)}
    if name == ("decimal", "Decimal"):
        return {"D": str(value)}
    if name == ("fractions", "Fraction"):
        return {"F": [encode(value.numerator), encode(value.denominator)]}
    if name == ("datetime", "datetime") and value.tzinfo is None:
        return {"T": ["datetime", list(value.timetuple()[:6]) + [value.microsecond]]}
    if name == ("datetime", "date"):
        return {"T": ["date", list(value.timetuple()[:3])]}
    if name == ("datetime", "time") and value.tzinfo is None:
        return {"T": ["time", [value.hour, value.minute, value.second, value.microsecond]]}
    if name == ("datetime", "timedelta"):
        return {"T": ["timedelta", [value.days, value.seconds, value.microseconds]]}
    if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return encode(value.item(), other)
    return other(value)


def decode(value, handle):
    if isinstance(value, list):
        return [decode(item, handle) for item in value]
    if not isinstance(value, dict):
        return value
    (tag, content), rest = next(iter(value.items())), len(value)
    if tag == "h":
        return handle(int(content), str(value.get("n", "object")))
    if rest != 1:
        raise ValueError("not a value")
    many = lambda: [decode(item, handle) for item in content]

    def distinct(kind, items):
        value = kind(items)
        if len(value) != len(items):
            raise ValueError("an element or key stands twice")
        return value

    pairs = lambda items: distinct(dict, [(decode(k, handle), decode(v, handle)) for k, v in items])
    if tag == "t":
        return tuple(many())
    if tag == "d":
        return pairs(content)
    if tag == "C":
        import collections
        counter = collections.Counter()
        dict.update(counter, pairs(content))
        return counter
    if tag == "O":
        import collections
        return collections.OrderedDict(pairs(content))
    if tag == "s":
        return distinct(set, many())
    if tag == "z":
        return distinct(frozenset, many())
    if tag == "i":
        return int(content, 16)
    if tag == "f":
        return float(content)
    if tag == "b":
        return bytes.fromhex(content)
    if tag == "B":
        return bytearray.fromhex(content)
    if tag == "c":
        return complex(*many())
    if tag == "r":
        numbers = range(*many())
        if len(numbers) > 1 << 24:
            # It would keep whoever walks through it busy for ever.
            raise ValueError("too long")
        return numbers
    if tag == "q":
        import collections
        return collections.deque(many())
    if tag == "v":
        views = {"dict_keys": dict.keys, "dict_values": dict.values, "dict_items": dict.items}
        return views[content[0]](pairs(content[1]))
    if tag == "D":
        import decimal
        return decimal.Decimal(content)
    if tag == "F":
        import fractions
        return fractions.Fraction(*many())
    if tag == "T":
        import datetime
        kinds = {"date": datetime.date, "datetime": datetime.datetime, "time": datetime.time,
                 "timedelta": datetime.timedelta}
        return kinds[content[0]](*content[1])
    if tag == "y":
        if content not in TYPES:
            raise ValueError("not a value")
        return TYPES[content]
    raise ValueError("not a value")


def shorten(text, limit=300):
    text = text if len(text) <= limit else text[:limit] + "…"
    # Half a surrogate pair cannot be written.
    return text.encode("utf-8", "backslashreplace").decode()


def first_that_compiles(sources, name="solution.py"):
    errors = []
    for source in sources:
        try:
            return compile(source, name, "exec")
        except SyntaxError as error:
            errors.append(error)
    raise errors[0]
