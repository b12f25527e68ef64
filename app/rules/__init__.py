"""The rules of the competition: pure functions, no database."""
