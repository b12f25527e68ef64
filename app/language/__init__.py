"""Word-level language models: corpora, tokens, vocabulary, the network and its training.

The rule: one manifest (corpus, split, seed, hyperparameters, versions) belongs to a model and is what training and
auditing share, so that both mean the same sentences by "member". What is exported here loads no torch; `network`,
`training`, `scoring`, `references`, `checkpoints` and `onnx_files` do. `fetching` is the only module that talks to
anybody, and only to public addresses.
"""

from app.language.corpora import Corpus
from app.language.manifests import Manifest
from app.language.recipes import Recipe
from app.language.splits import WAYS, Split, split
from app.language.templates import synthetic
from app.language.tokens import Encoded, Vocabulary, tokenise

__all__ = ["WAYS", "Corpus", "Encoded", "Manifest", "Recipe", "Split", "Vocabulary", "split", "synthetic", "tokenise"]
