# What every driver begins with.
import sys


def finish_site(packages):
    # The interpreter starts without `site` (-S), which saves most of its start-up time; these are what programs miss.
    import _sitebuiltins, builtins
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    sys.path.extend(packages)
