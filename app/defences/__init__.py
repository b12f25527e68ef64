"""Reference protections: pure NumPy and PyTorch, no Flask, SQL or Celery."""
