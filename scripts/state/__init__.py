"""Wanted and observed: what commands write and the supervisor reads, and the other way round."""
