"""Which published architecture a state dict belongs to, told by names and shapes alone."""
