"""Train and evaluate a model, and prepare, embed and compare: see `python run_lecdsr.py --help`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from recbole_lecdsr.cli.main import main

    sys.exit(main())
