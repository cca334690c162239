"""`prepare table`: tables of interactions as an atomic pair, from files or data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_lecdsr.prepare.atomic_pair import write_pair
from recbole_lecdsr.prepare.catalogue import compare_with_published
from recbole_lecdsr.prepare.next_commands import list_commands, text_settings
from recbole_lecdsr.prepare.pair_checks import check_domain_names, check_pair_name, refuse_leftover_items
from recbole_lecdsr.prepare.property_file import choose_property_file, read_split_rule
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.raw_files import check_raw_files
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import MARKDOWN_FILE, render_files
from recbole_lecdsr.prepare.summary import PreparationSummary, count_pair
from recbole_lecdsr.prepare.table.interactions import DomainSources, Interactions, read_interactions
from recbole_lecdsr.prepare.table.item_texts import ItemTexts, read_item_texts, take_texts_from_interactions
from recbole_lecdsr.prepare.table.options import TableOptions
from recbole_lecdsr.prepare.table.sources import Table, TableSource, files_of, open_sources

ItemTables = Mapping[str | None, Sequence[Table]]
"""Domain -> tables of its items; None -> tables of the items of both."""


def prepare(
    files: Sequence[str | Path],
    folder: str | Path | None = None,
    name: str | None = None,
    *,
    source: str | None = None,
    items: ItemTables | None = None,
    options: TableOptions | None = None,
) -> PreparationSummary:
    """Write the atomic pair of a table with a column of domains, its statistics and its property file.

    Within a domain, interactions keep the order of the rows, which decides among interactions of one user at one time.
    Between the domains, an interaction of the source comes before one of the target at the same time, whatever their
    rows.

    Args:
        files: interactions; .csv, .tsv (both also .gz) or .parquet, concatenated in this order.
        folder: gets ``<domain>/<domain>.inter``, with texts of items also ``<domain>/<domain>.item``, the three files
            of statistics, and ``<name>.yaml``, unless the plugin ships a property file of that name. None:
            ``dataset/<name>``, where the main command looks for it.
        name: of the pair; None: ``<source>-<target>``.
        source: the value of the column of domains that is the source; None takes the first one in the table.
        items: tables of items with columns of text. An item may be missing from them or have empty texts. Rows of
            other domains are left out.
        options: how the tables are read.

    Raises:
        UserError: anything that is wrong, with file, line and remedy. Nothing has been written then.
    """
    options = options or TableOptions()
    tables = open_sources(files, options.separator, "the table")
    return _convert(tables, folder, name, source=source, items=_open_items(items, options), options=options)


def prepare_domains(
    source: RawDomain,
    target: RawDomain,
    folder: str | Path | None = None,
    name: str | None = None,
    *,
    items: ItemTables | None = None,
    options: TableOptions | None = None,
) -> PreparationSummary:
    """Write the atomic pair of tables that hold a domain each; see `prepare`.

    Args:
        source: the source domain.
        target: the target domain.
        folder, name, items, options: of `prepare`.

    Raises:
        UserError: as `prepare`.
    """
    options = options or TableOptions()
    check_domain_names((source.name, target.name))
    tables = tuple(
        DomainSources(domain.name, open_sources(domain.files, options.separator, f"the {domain.name} table"))
        for domain in (source, target)
    )
    return _convert(tables, folder, name, items=_open_items(items, options), options=options)


def from_frames(
    source: Table,
    target: Table,
    *,
    domains: tuple[str, str] = ("source", "target"),
    items: Table | Mapping[str, Table] | None = None,
    name: str | None = None,
    output: str | Path | None = None,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    items_id: str | None = None,
    text: Sequence[str] = (),
    time_format: str = "auto",
    skip_bad_lines: bool = False,
) -> PreparationSummary:
    """Write the atomic pair of two data frames, its statistics and its property file.

    The checks and the files are those of `run_lecdsr.py prepare table`, whose options have the names of the arguments
    below; errors name them.

    Args:
        source: interactions of the source domain, a row each: a data frame of pandas or polars, or a pyarrow table.
        target: the same of the target domain. A user has the same value in both.
        domains: names of source and target, which become names of files.
        items: table of items with columns of text; if it has a column ``domain``, that says which domain an item is
            of. Or one for each domain: name of the domain -> table.
        name: of the pair, for ``--dataset``; None: ``<source>-<target>``.
        output: folder of the pair; None: ``dataset/<name>``, where runs look for it.
        user: the column of users; None: recognised by its name, such as user_id or reviewerID.
        item: the column of items; None: recognised, such as item_id or asin.
        time: the column of times; None: recognised, such as timestamp or date.
        rating: the column of ratings, which are kept for prompts; None keeps none.
        items_id: the column of items in ``items``; None: as in the interactions, else recognised.
        text: columns to keep as texts: of ``items`` (default: all), or, without it, of the interactions.
        time_format: ``auto``, ``iso``, ``s``, ``ms``, ``us``, ``ns``, or a format of strptime.
        skip_bad_lines: leave out and count interactions that cannot be used instead of stopping at the first.

    Returns:
        Counts of the pair, what was read and left out, and the commands that can follow.

    Raises:
        UserError: anything that is wrong, with frame, row and remedy. Nothing has been written then.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> food = pd.DataFrame({"user": ["ann", "bob"], "item": ["tea", "oat"], "date": ["2024-03-01", "2024-03-02"]})
        >>> kitchen = pd.DataFrame({"user": ["ann"], "item": ["pan"], "date": ["2024-03-05"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = from_frames(food, kitchen, domains=("food", "kitchen"), output=Path(folder, "food-kitchen"))
        ...     print(Path(folder, "food-kitchen", "kitchen", "kitchen.inter").read_text().split())
        ['user_id:token', 'item_id:token', 'timestamp:float', 'ann', 'pan', '1709596800']
        >>> summary.counts.both.common_users
        1
    """
    options = TableOptions(
        user=user, item=item, time=time, rating=rating, items_id=items_id, text=text, time_format=time_format,
        skip_bad_lines=skip_bad_lines,
    )  # fmt: skip
    check_domain_names(domains)
    tables = tuple(
        DomainSources(domain, open_sources([frame], None, f"the {role} frame"))
        for role, domain, frame in zip(("source", "target"), domains, (source, target), strict=True)
    )
    by_domain = items if isinstance(items, Mapping) else {None: items}
    return _convert(
        tables,
        output,
        name,
        items={
            domain: open_sources([table], None, "the frame of items" if domain is None else f"the items of {domain}")
            for domain, table in by_domain.items()
            if table is not None
        },
        options=options,
    )


def _open_items(items: ItemTables | None, options: TableOptions) -> dict[str | None, list[TableSource]]:
    return {
        domain: open_sources(tables, options.separator, "the table of items")
        for domain, tables in (items or {}).items()
    }  # fmt: skip


def _convert(
    tables: Sequence[TableSource] | Sequence[DomainSources],
    folder: str | Path | None,
    name: str | None,
    *,
    source: str | None = None,
    items: Mapping[str | None, Sequence[TableSource]],
    options: TableOptions,
) -> PreparationSummary:
    if name is not None:
        check_pair_name(name)
    of_interactions = [one for part in tables for one in (part.sources if isinstance(part, DomainSources) else [part])]
    # All at once; the readers would stop at the first.
    check_raw_files(files_of([*of_interactions, *(one for sources in items.values() for one in sources)]))
    interactions = read_interactions(tables, options, source=source, with_texts=bool(options.text) and not items)
    inter = interactions.tables
    texts = _read_texts(items, interactions, options)
    name = name or "-".join(interactions.names)
    folder = Path("dataset") / name if folder is None else Path(folder)
    refuse_leftover_items(folder, [key for key in inter if key not in texts.tables], "give --items or --text")
    settings = text_settings(texts.tables)
    properties = choose_property_file(folder, name, "table", interactions.names, settings=settings)
    statistics = measure_pair(name, inter, texts.tables, split_rule=read_split_rule(properties.path))
    write_pair(
        folder,
        render_files(statistics)
        | {f"{key}/{key}.item": part for key, part in texts.tables.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | properties.new_files,
    )
    counts = count_pair(inter, texts.tables)
    return PreparationSummary(
        counts=counts,
        properties=properties.path,
        statistics=folder / MARKDOWN_FILE,
        warnings=(*compare_with_published(name, counts), *statistics.warnings),
        skipped=interactions.bad_rows.skipped,
        details={"columns": {**interactions.columns, **texts.columns}, "times": interactions.times},
        next_commands=list_commands(
            name,
            folder,
            domains=interactions.names,
            with_texts=texts.tables,
            properties=properties.values,
            settings=settings,
        ),
    )


def _read_texts(
    items: Mapping[str | None, Sequence[TableSource]], interactions: Interactions, options: TableOptions
) -> ItemTexts:
    if items:
        return read_item_texts(items, interactions, options)
    if options.text:
        return take_texts_from_interactions(interactions, options.text)
    return ItemTexts()
