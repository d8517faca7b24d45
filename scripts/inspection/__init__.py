"""What a checkpoint file is and holds, found without executing anything that it carries."""
