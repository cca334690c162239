"""Records of runs: an outcome of training comes in; configuration, checkpoint, ranks and result go out as files."""
