"""Programs that we start, none of which may outlive us, and what they use: folders, ports."""
