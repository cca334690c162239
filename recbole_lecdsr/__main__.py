"""The command line as ``python -m recbole_lecdsr``."""

from __future__ import annotations

import sys

from recbole_lecdsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
