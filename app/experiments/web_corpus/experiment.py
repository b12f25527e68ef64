"""The experiment itself: fetch, cut into sentences, report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Report, Watch
from app.experiments.web_corpus import CARD
from app.parameters import parameter
from app.reports import Estimate, Table

SHOWN = 50


@dataclass(frozen=True)
class Parameters:
    """What to read."""

    url: str = parameter("https://", "Address of a public page, beginning with http:// or https://.")
    name: str = parameter("web", "How the corpus is called; the same name again makes a new version.")


class WebCorpus(Experiment):
    """The sentences of a page."""

    card = CARD
    Parameters = Parameters

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Read the page. Raises InvalidUpload when it may not or cannot be read, or has no sentences."""
        # The class is imported where forms are made of its parameters; the parser is wanted only here.
        from app.language import fetching, pages

        page = fetching.fetch(parameters.url)
        progress(0.8)
        corpus = pages.corpus(page)
        rows = tuple((number, sentence) for number, sentence in enumerate(corpus.sentences[:SHOWN], 1))
        note = f"{len(corpus):,} in all." if len(corpus) > SHOWN else ""
        return Report(
            metrics={"sentences": Estimate(float(len(corpus)))},
            tables=(Table("How the corpus begins", ("Line", "Sentence"), rows, note),),
            files={"corpus.txt": corpus.to_text().encode()},
        )
