"""What runs inside a TorchServe worker, and locally: a frozen copy travels in every archive.

Imports run one way:
errors <- recipe <- wire, checkpoint <- network <- runtimes, tasks <- golden <- handler <- serve.
"""
