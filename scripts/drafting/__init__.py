"""A model.py for weights that no published architecture fits, drafted from names and shapes."""
