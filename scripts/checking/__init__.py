"""What `check` finds out about a model before it is packed."""
