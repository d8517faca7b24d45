"""A model's folder -> its archive: fetched, staged, rehearsed, sealed, written once."""
