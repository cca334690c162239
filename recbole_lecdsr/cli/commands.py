"""The commands, by name."""

from __future__ import annotations

# command -> module and function; the module is imported when the command runs
COMMANDS = {
    "prepare": "recbole_lecdsr.cli.prepare:prepare",
    "profile": "recbole_lecdsr.cli.profile:main",
    "embed": "recbole_lecdsr.cli.embed:embed",
    "compare": "recbole_lecdsr.cli.compare:compare",
    "ablate": "recbole_lecdsr.cli.compare:ablate",
    "recommend": "recbole_lecdsr.cli.recommend:main",
    "export": "recbole_lecdsr.cli.export:main",
    "tune": "recbole_lecdsr.cli.tune:main",
    "doctor": "recbole_lecdsr.cli.doctor:doctor",
}
