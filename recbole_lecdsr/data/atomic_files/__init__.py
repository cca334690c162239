"""RecBole's atomic files, read in columns and checked."""
