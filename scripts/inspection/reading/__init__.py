"""Each format that a checkpoint comes in, one file each: bytes -> Content, and nothing executed."""
