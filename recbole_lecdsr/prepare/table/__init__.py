"""Tables of interactions and items (CSV, TSV, Parquet) come in; an atomic pair goes out."""
