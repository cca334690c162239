"""RecBole's atomic files: paths come in, checked columns go out."""
