"""Damaged files for every reader: valid files are made and damaged; the reader must refuse or read them.

``python -m tests.fuzz --help`` is the long form; tests/test_fuzz.py runs some inputs of every target.
"""
