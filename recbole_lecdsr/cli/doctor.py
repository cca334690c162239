"""`run_lecdsr.py doctor`: versions, known clashes, device, data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.markup import escape

from recbole_lecdsr.cli.console import out

# ---------------------------------------------------------------------- doctor


def doctor(arguments: Sequence[str]) -> int:
    """Versions, what is known to clash, the device, the data found."""
    argparse.ArgumentParser(prog="run_lecdsr.py doctor", description=doctor.__doc__).parse_args(arguments)
    from recbole_lecdsr.cli import diagnosis

    findings = diagnosis.examine()
    marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[bold red]error[/]  "}
    for finding in findings:
        out.print(f"{marks[finding.level]} {escape(finding.text)}", soft_wrap=True)
        if finding.remedy:
            out.print(f"          {escape(finding.remedy)}", soft_wrap=True)
    return int(any(finding.level == "error" for finding in findings))
