"""Federated learning: partitions, clients, the server and the loop that joins them.

The rule: every round's updates are kept as observations, because they are what an attacker sees; seeds and shares go
into a manifest, so that a run can be repeated.
"""
