"""Attacks, one file per published attack: pure NumPy and PyTorch, no Flask, SQL or Celery."""
