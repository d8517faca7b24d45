"""What `archive` verifies of a model, told by `check` finding by finding."""
