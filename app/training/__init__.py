"""Training many small networks at once.

The rule: a network is a template module plus named tensors with a leading axis of models; nothing here keeps state in
a module, so a template is never changed, and training M models together gives what training each alone would give.
"""
