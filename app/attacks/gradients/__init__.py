"""Attacks that reconstruct a client's private batch from what it shares: a gradient or an update of the weights.

The rule: an attack sees an `Observation` and nothing else, never the truth, and never changes it; the best of several
restarts is chosen by the attack's own loss. Many victims are worked on at once.
"""
