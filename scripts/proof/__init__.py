"""Holding the ways to a model against each other: folder, archive, REST, gRPC."""
