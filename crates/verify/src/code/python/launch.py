# Runs a program as `python3 main.py` would, but for `site`: see `finish_site`.


def launch(payload):
    finish_site(payload["packages"])
    source = payload["sources"][0]
    code = compile(source, "main.py", "exec")
    given = preloaded(source, code)
    main = globals()
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    main.update(given)
    return code, main
