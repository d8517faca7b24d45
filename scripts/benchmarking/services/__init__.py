"""What people write who serve a model without a server for models: programs that a benchmark starts."""
