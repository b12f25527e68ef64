"""Website fingerprinting: which cell was queried, told from sizes and times of packets."""
