"""Adaptations of RecBole 1.2.1 and recbole-cdr 0.1.0 to current libraries: stock classes in, repaired ones out."""
