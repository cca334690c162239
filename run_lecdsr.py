"""Train and evaluate LeCDSR; prepare and embed data. See `python run_lecdsr.py --help`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from recbole_lecdsr.cli.main import main

    sys.exit(main())
