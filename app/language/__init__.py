"""Word-level language models: corpora, tokens, vocabulary, the network and its training.

The rule: one manifest (corpus, split, seed, hyperparameters, versions) belongs to a model and is what training and
auditing share, so that both mean the same sentences by "member".
"""
