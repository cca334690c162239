"""A study in, a leaderboard out: models run under one protocol, compared, and reported on."""
