"""Which of two domains each interaction is of, by a column of the table or by the file that it comes from."""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.pair_checks import check_folder_name
from recbole_lecdsr.prepare.table.bad_rows import BadRows
from recbole_lecdsr.prepare.table.columns import encode


def read_domains(bad_rows: BadRows, key: str, source: str | None) -> tuple[np.ndarray, tuple[str, str]]:
    """Read a column that holds the names of two domains.

    Args:
        bad_rows: of the table.
        key: of the column.
        source: the name of the source domain; None takes the first one in the table.

    Returns:
        (n,) int, 0 for interactions of the source and 1 for those of the target (any number for bad rows); and the
        names of source and target.

    Raises:
        UserError: an empty value, unless bad rows are skipped; other than two domains; names that cannot be folders;
            a source that is neither of them.
    """
    column = bad_rows.table.name_column(key)
    index, values = encode(bad_rows.table[key])
    distinct = values.to_pylist()
    if "" in distinct:
        bad_rows.reject(key, index == distinct.index(""), "is empty", "fill the cell or delete the row")
    used, first_row = np.unique(index[~bad_rows.mask], return_index=True)
    used = used[np.argsort(first_row)]
    names = [distinct[value] for value in used]
    domain_of_value = np.full(len(distinct), -1)
    domain_of_value[used] = np.arange(len(used))
    domain = domain_of_value[index]
    if len(names) != 2:
        _refuse_number_of_domains(bad_rows, column, names, np.bincount(domain[~bad_rows.mask]).tolist())
    first, second = names
    for name in names:
        check_folder_name(name, f"{bad_rows.table.files}: the domain in column {column!r}", "rename it in the table")
    if first.casefold() == second.casefold():
        raise UserError(
            f"{bad_rows.table.files}: the domains {first!r} and {second!r} differ in case only, as folders must not: "
            "rename one"
        )
    if source is not None and source not in names:
        raise UserError(f"--source {source!r} is neither {first!r} nor {second!r}, the values of column {column!r}")
    if source == second:
        return 1 - domain, (second, first)
    return domain, (first, second)


def _refuse_number_of_domains(bad_rows: BadRows, column: str, names: list[str], n_rows: list[int]) -> None:
    largest = sorted(zip(names, n_rows, strict=True), key=lambda pair: pair[1], reverse=True)[:10]
    shown = ", ".join(f"{name!r} ({count:,} rows)" for name, count in largest)
    raise UserError(
        f"{bad_rows.table.files}: column {column!r} must hold two domains, but holds {len(names)}: {shown}"
        f"{', …' if len(names) > 10 else ''}; keep the rows of two, or name another column with --domain"
    )
