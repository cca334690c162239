"""The command line, a module for each command: arguments come in, an exit status goes out."""

from recbole_lecdsr.cli.main import main

__all__ = ["main"]
