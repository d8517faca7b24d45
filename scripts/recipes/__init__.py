"""A checkpoint -> models/NAME: what `init` decides, what it leaves to the owner, and how it writes both."""
