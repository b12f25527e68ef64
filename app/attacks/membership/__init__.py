"""Attacks that tell which records a model was trained on.

The rule: an attack gives one finite score for each candidate, higher for a member, and never sees who is one.
"""
