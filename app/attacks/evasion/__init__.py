"""Evasion: inputs that are changed a little so that a classifier errs. One file per published attack.

A model is a function from inputs to logits, the inputs lie in a box, and everything works on whole batches.
"""
