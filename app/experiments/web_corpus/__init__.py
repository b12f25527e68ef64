"""Reading the sentences of a public web page into a corpus."""

from app.experiments.base import Card, Output
from app.reports import Metric

CARD = Card(
    slug="web-corpus",
    title="Corpus from a web page",
    summary=(
        "Reads one public page and keeps its sentences once each as a corpus that language models can learn from. It "
        "asks robots.txt first, says who it is, and reads nothing that is not public."
    ),
    inputs=(),
    metrics=(Metric("sentences", "Sentences", "Different sentences that the page has.", decimals=0),),
    experiment="app.experiments.web_corpus.experiment:WebCorpus",
    is_heavy=False,
    outputs=(Output("corpus.txt", "corpus", "name"),),
)
