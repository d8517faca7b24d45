"""A candidate beside the default: copies of what callers ask, both versions' answers, how far they differ."""
