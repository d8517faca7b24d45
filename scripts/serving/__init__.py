"""What `up` runs: the supervisor, its node's versions in TorchServe, and TorchServe itself."""
