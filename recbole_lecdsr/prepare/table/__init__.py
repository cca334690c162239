"""CSV, TSV or Parquet tables to an atomic pair."""
