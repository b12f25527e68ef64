"""The word-level language model: embedding, one LSTM layer, a score for each word that may come next."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from app.language.recurrence import Recurrence


class WordLSTM(nn.Module):
    """Token ids (N, T) -> the scores of the next word (N, T, words), before a softmax."""

    def __init__(self, words: int, embedding: int = 128, hidden: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, words)

    def states(self, tokens: Tensor) -> Tensor:
        """(N, T, hidden): what the LSTM knows after each word."""
        found: Tensor = self.lstm(self.embedding(tokens))[0]
        return found

    def packed_states(self, tokens: Tensor, counts: NDArray[np.int64]) -> Tensor:
        """(n, hidden): the same for packed sentences (n,) of which `counts[t]` have more than t words.

        They are sorted by falling length, all first words first, as in a `PackedSequence`.
        """
        if tokens.device.type != "cpu":
            sizes = torch.from_numpy(counts)
            packed: Tensor = self.lstm(PackedSequence(self.embedding(tokens), sizes))[0].data
            return packed
        # What a word brings to the gates is the same wherever it stands, so it is computed once.
        words, places = torch.unique(tokens, return_inverse=True)
        inner, recurrent, *biases = self.lstm.all_weights[0]
        brought = functional.linear(self.embedding(words), inner, biases[0] + biases[1])
        found: Tensor = Recurrence.apply(brought, places, recurrent, tuple(counts.tolist()))
        return found

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of the next word after each word."""
        scores: Tensor = self.output(self.states(tokens))
        return scores


def empty(words: int, embedding: int, hidden: int, device: str) -> WordLSTM:
    """A network whose weights are yet to be written."""
    with torch.device("meta"):
        network = WordLSTM(words, embedding, hidden)
    return network.to_empty(device=device)


def fresh(words: int, embedding: int, hidden: int, rng: np.random.Generator, device: str) -> WordLSTM:
    """A network with random weights of torch's own distributions, the same on every device."""
    network = empty(words, embedding, hidden, device)
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    bound = 1.0 / math.sqrt(hidden)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            drawn = torch.empty(weight.shape)
            if name == "embedding.weight":
                drawn.normal_(generator=generator)
            else:
                drawn.uniform_(-bound, bound, generator=generator)
            weight.copy_(drawn)
    return network
