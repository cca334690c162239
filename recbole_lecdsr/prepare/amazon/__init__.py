"""Amazon reviews of 2014, 2018 and 2023 to an atomic pair."""
