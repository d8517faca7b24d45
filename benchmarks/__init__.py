"""What README.md claims of speed and memory, each a program that measures it side by side in one run."""
