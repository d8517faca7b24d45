"""A model as one portable file, with how to feed and read it, and the proof that it answers alike."""
