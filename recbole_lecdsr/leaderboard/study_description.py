"""``study.json``: data set, models, seeds and reference of a study; and the folder of each model's runs."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import report_disk_errors, write_whole
from recbole_lecdsr.json_files import check_seal, read_json_object, seal
from recbole_lecdsr.leaderboard.locks import wait_for_lock
from recbole_lecdsr.schema.data import is_name

DESCRIPTION_FILE, RUNS_FOLDER = "study.json", "runs"
FORMAT = 2  # number of the format of study.json; that of version 0.1.0 had none

_REMEDY = "delete it and run the same `compare` again; finished runs are kept"


@dataclass(frozen=True)
class StudyDescription:
    """The content of ``study.json``.

    Attributes:
        dataset: name of the pair of domains.
        models: distinct labels.
        seeds: distinct seeds.
        reference: label of the model that the others are tested against; by default the first one.

    Raises:
        UserError: two labels whose runs would share a folder; a reference that is not among the models.
    """

    dataset: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.reference:
            object.__setattr__(self, "reference", self.models[0])
        if self.reference not in self.models:
            raise UserError(
                f"the reference {self.reference!r} is not a model of the study: give one of {', '.join(self.models)}"
            )
        label_of_folder: dict[str, str] = {}
        for label in self.models:
            folder = label_folder(label)
            other = label_of_folder.setdefault(folder, label)
            if other != label:
                raise UserError(f"the labels {other!r} and {label!r} share the folder {folder}: leave one of them out")

    def extended(self, earlier: StudyDescription) -> StudyDescription:
        """An earlier description with the models of this one after its own, and the seeds of both, ascending.

        >>> earlier = StudyDescription("movielens", ("LeCDSR", "Pop"), (1, 2))
        >>> StudyDescription("movielens", ("BPR", "LeCDSR"), (3,)).extended(earlier)
        StudyDescription(dataset='movielens', models=('LeCDSR', 'Pop', 'BPR'), seeds=(1, 2, 3), reference='LeCDSR')
        """
        models = tuple(dict.fromkeys([*earlier.models, *self.models]))
        return StudyDescription(self.dataset, models, tuple(sorted({*self.seeds, *earlier.seeds})), earlier.reference)


def label_folder(label: str) -> str:
    """Name of the folder of a label; characters other than letters, digits, ``.``, ``_``, ``=``, ``-`` become ``_``.

    >>> label_folder("LeCDSR:align_weight=0.1")
    'LeCDSR_align_weight=0.1'
    """
    return re.sub(r"[^\w.=-]", "_", label)


def run_folder(label: str, seed: int) -> str:
    """Name of the run directory of a model and a seed; the folder of the label has its parameters.

    >>> run_folder("SASRec:sequence=single", 2022)
    'SASRec-2022'
    """
    return f"{label.partition(':')[0]}-{seed}"


def find_run_folders(row_folder: Path, label: str) -> dict[int, list[Path]]:
    """The run directories of a model: seed -> folders, by name; a digest of parameters may follow the seed in a name.

    Args:
        row_folder: where they are, ``<study>/runs/<label>/<dataset>``.
        label: of the model.
    """
    name = re.compile(rf"{re.escape(label.partition(':')[0])}-(\d+)(-.+)?")
    found: dict[int, list[Path]] = {}
    for path in sorted(row_folder.glob("*")):
        match = name.fullmatch(path.name)
        if match and path.is_dir():
            found.setdefault(int(match[1]), []).append(path)
    return found


def read_description(folder: Path) -> StudyDescription:
    """Read ``study.json`` of a study folder; where it names no reference, as in version 0.1.0, that is the first model.

    Raises:
        UserError: a file that is missing, cannot be read or has wrong values, all of them named at once, or was
            damaged or edited.
    """
    path = folder / DESCRIPTION_FILE
    values = read_json_object(
        path,
        missing=f"{folder} is not the folder of a study (no {DESCRIPTION_FILE}): give one that `compare` wrote",
        remedy=_REMEDY,
    )
    dataset, models, seeds = (values.get(key) for key in ("dataset", "models", "seeds"))
    reference = values.get("reference", "")
    checks = (
        ("dataset", "a name", isinstance(dataset, str) and is_name(dataset)),
        ("models", "a list of distinct labels", _is_list_of_distinct(models, str)),
        (
            "seeds",
            "a list of distinct whole numbers from 0 on",
            _is_list_of_distinct(seeds, int) and min(seeds or ()) >= 0,
        ),
        ("reference", "one of the models", isinstance(reference, str)),
    )
    errors = [f"{path}: {key} must be {wanted}, not {values.get(key)!r}" for key, wanted, valid in checks if not valid]
    if errors:
        raise UserError("\n".join(f"{error}: {_REMEDY}" for error in errors))
    check_seal(values, path, format=FORMAT, remedy=_REMEDY, known={one.name for one in fields(StudyDescription)})
    try:
        return StudyDescription(str(dataset), tuple(models or ()), tuple(seeds or ()), str(reference))
    except UserError as error:
        raise UserError(f"{path}: {error}; or {_REMEDY}") from None


def update_description(
    folder: Path, description: StudyDescription, *, reference: str | None = None
) -> StudyDescription:
    """Write ``study.json``; models, seeds and reference of earlier calls stay in the study.

    Several processes can do so at the same time.

    Args:
        folder: of the study.
        description: what this call adds.
        reference: label of the model that the others are tested against from now on; None keeps the one of the study,
            which for a new study is that of the description.

    Returns:
        The description of the whole study.

    Raises:
        UserError: the folder holds a study of another data set, or cannot be read or written; a reference that is not a
            model of the study.
    """
    path = folder / DESCRIPTION_FILE
    with wait_for_lock(folder):  # what another process adds after the file was read would be lost
        if path.exists():
            earlier = read_description(folder)
            if earlier.dataset != description.dataset:
                raise UserError(
                    f"{folder} is a study of {earlier.dataset}, not of {description.dataset}: give another --study"
                )
            description = description.extended(earlier)
        if reference is not None:
            description = replace(description, reference=reference)
        with report_disk_errors(path), write_whole(path) as file:
            json.dump(seal(asdict(description), FORMAT), file, indent=2)
            file.write("\n")
    return description


def _is_list_of_distinct(values: object, kind: type) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(isinstance(value, kind) and not isinstance(value, bool) for value in values)
        and len(set(values)) == len(values)
    )
