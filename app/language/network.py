"""The word-level language model: embedding, one LSTM layer, a score for each word that may come next."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from app.language.recurrence import Order, Recurrence


class WordLSTM(nn.Module):
    """Token ids (N, T) -> the scores of the next word (N, T, words), before a softmax."""

    def __init__(self, words: int, embedding: int = 128, hidden: int = 256) -> None:
        super().__init__()
        weight = torch.empty(words, embedding)
        # As `nn.Embedding` draws it, but on the meta device, where that would load torch's compiler: a second and more.
        self.embedding = nn.Embedding.from_pretrained(weight if weight.is_meta else weight.normal_(), freeze=False)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, words)

    def states(self, tokens: Tensor) -> Tensor:
        """(N, T, hidden): what the LSTM knows after each word."""
        found: Tensor = self.lstm(self.embedding(tokens))[0]
        return found

    def packed_states(self, tokens: Tensor, order: Order) -> Tensor:
        """(n, hidden): the same for packed words (n,); not on a CPU, they are packed as in a `PackedSequence`."""
        if tokens.device.type != "cpu":
            packed: Tensor = self.lstm(PackedSequence(self.embedding(tokens), torch.tensor(order.counts)))[0].data
            return packed
        # What a word brings to the gates is the same wherever it stands, so it is computed once.
        table = self.embedding.weight
        if len(table) > len(tokens):
            words, tokens = torch.unique(tokens, return_inverse=True)
            table = self.embedding(words)
        inner, recurrent, *biases = self.lstm.all_weights[0]
        brought = functional.linear(table, inner, biases[0] + biases[1])
        found: Tensor = Recurrence.apply(brought, tokens, recurrent, order)
        return found

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of the next word after each word."""
        scores: Tensor = self.output(self.states(tokens))
        return scores


def empty(words: int, embedding: int, hidden: int, device: str) -> WordLSTM:
    """A network whose weights are yet to be written; on the meta device it takes no memory."""
    # Going from the meta device to another one would load torch's compiler too.
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device == "meta" else "cpu"):
        return WordLSTM(words, embedding, hidden).to(device)


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
