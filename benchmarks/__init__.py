"""What is measured side by side against peers and limits; prints tables, asserts nothing about time."""
