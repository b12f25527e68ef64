"""How a language model is trained; loads no torch."""

from dataclasses import dataclass

from app.parameters import parameter


@dataclass(frozen=True)
class Recipe:
    """Adam without clipping, schedule or early stopping, so that the model overfits as much as the epochs allow."""

    epochs: int = parameter(
        100, "Passes over the members. The more, the better the model knows them by heart.", minimum=1, maximum=1000
    )
    batch_size: int = parameter(64, "Sentences of one step.", minimum=1, maximum=1024)
    learning_rate: float = parameter(0.002, "Rate of Adam.", minimum=1e-6, maximum=1.0)
    embedding: int = parameter(128, "Numbers that stand for a word.", minimum=1, maximum=512)
    hidden: int = parameter(256, "Cells of the LSTM layer.", minimum=1, maximum=1024)
