"""Raw data: files as their publishers give them come in; pairs of atomic files, one folder a domain, go out."""
