"""Tables of interactions and items (CSV, TSV, Parquet) come in; an atomic pair goes out."""

from recbole_lecdsr.prepare.table.convert import prepare

__all__ = ["prepare"]
