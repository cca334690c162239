"""Records of runs: configuration, checkpoint, ranks and result, each written whole or not at all."""
