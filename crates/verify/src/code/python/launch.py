# Runs a program as `python3 main.py` would, but for `site`: see `finish_site`.


def launch(payload):
    finish_site(payload["packages"])
    code = compile(payload["sources"][0], "main.py", "exec")
    main = globals()
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    return code, main


exec(*launch(PAYLOAD))
