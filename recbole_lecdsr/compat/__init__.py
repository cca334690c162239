"""Adaptations of RecBole 1.2.1 and recbole-cdr 0.1.0 to current libraries: stock classes in, repaired ones out."""

# Importing RecBole runs the post-import hook of `recbole_lecdsr.registration`, which imports every module here. It has
# to run before any of them is imported by another path, or it would meet a half-imported module.
import recbole  # noqa: F401
