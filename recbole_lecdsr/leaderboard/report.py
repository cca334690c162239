"""The report of a study: leaderboard.md, .csv, .tex, and one self-contained page leaderboard.html.

Where a study has placebos of texts, placebos.csv and placebos.json as well.
"""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.files import report_disk_errors, write_whole
from recbole_lecdsr.leaderboard import placebo_tables, tables
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, MissingMap, embedding_map
from recbole_lecdsr.leaderboard.html_page import render_page
from recbole_lecdsr.leaderboard.placebos import compare_with_placebos
from recbole_lecdsr.leaderboard.standings import compute_standings
from recbole_lecdsr.leaderboard.study import Study, read_study

REPORT_FOLDER = "report"
MAX_MAPS = 3


def write_report(study_folder: str | Path, embedding_maps: bool = True) -> dict[str, Path]:
    """Write ``<study>/report/``, each file whole or not at all.

    Args:
        study_folder: a study, whether all its runs have finished or not.
        embedding_maps: draw the map of LeCDSR's item embeddings, which reads the data of the runs again.

    Returns:
        ``markdown``, ``csv``, ``latex`` and ``html`` -> path, and ``placebos_csv`` and ``placebos_json`` where they are
        written.

    Raises:
        UserError: see `recbole_lecdsr.leaderboard.study.read_study`; or a folder that cannot be written.
    """
    study = read_study(study_folder)
    table = compute_standings(study)
    texts = {
        "markdown": ("leaderboard.md", tables.to_markdown(table)),
        "csv": ("leaderboard.csv", tables.to_csv(table)),
        "latex": ("leaderboard.tex", tables.to_latex(table)),
        "html": ("leaderboard.html", render_page(table, _embedding_maps(study) if embedding_maps else [])),
    }
    of_placebos = {}
    if compare_with_placebos(study):
        of_placebos = {
            "placebos_csv": ("placebos.csv", placebo_tables.to_csv(study)),
            "placebos_json": ("placebos.json", placebo_tables.to_json(study)),
        }
    folder = study.folder / REPORT_FOLDER
    paths = {}
    with report_disk_errors(f"the report in {folder}"):
        folder.mkdir(exist_ok=True)
        for name in ("placebos.csv", "placebos.json") if not of_placebos else ():
            (folder / name).unlink(missing_ok=True)  # of rows that are no longer in the study
        for kind, (name, text) in {**texts, **of_placebos}.items():
            with write_whole(folder / name) as file:
                file.write(text)
            paths[kind] = folder / name
    return paths


def _embedding_maps(study: Study) -> list[EmbeddingMap | MissingMap]:
    """Maps of the first runs of the first few models that are LeCDSR."""
    first_runs = [runs[0] for label in study.models if (runs := study.finished_runs(label))]
    of_lecdsr = [run for run in first_runs if run.result.model.partition("-")[0] == "LeCDSR"]
    return [embedding_map(run) for run in of_lecdsr[:MAX_MAPS]]
