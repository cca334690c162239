"""Amazon reviews of 2014, 2018 or 2023 and metadata of items come in; an atomic pair of two categories goes out."""
