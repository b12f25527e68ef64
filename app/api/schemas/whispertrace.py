"""Shapes of corpora, checkpoints and audits, with WhisperTrace's names."""

from app.api import fields
from app.api.schemas import Schema
from app.api.schemas.lab import KEY, STATUSES
from app.language.templates import SEED

MAX_TEXT = 2_000_000
ADDRESS = 2_000


class CorpusSchema(Schema):
    """A corpus in a list."""

    key = fields.text("Its name in addresses.", KEY)
    name = fields.text("Name.", "synthetic")
    version = fields.whole("Counts the corpora of this name.", 1)
    n = fields.whole("Sentences; null until it has been checked.", 2000, allow_none=True)
    url = fields.text("The page that it comes from; null: none.", allow_none=True)
    status = fields.text("How far its check is.", "accepted", choices=STATUSES)
    preview = fields.text("How it begins.")


class CorpusDetailSchema(CorpusSchema):
    """A corpus with its text."""

    content = fields.text("The whole text: the address of the page or an empty line, then a sentence a line.")


class SyntheticSchema(Schema):
    """A corpus of the template."""

    name = fields.text("Name; the same again makes a new version.", "synthetic", maximum=100)
    n = fields.whole("Sentences.", 2000, low=1, high=10_000, required=True)
    seed = fields.whole("The same seed always makes the same sentences.", SEED, low=0, high=1 << 53)


class PastedSchema(Schema):
    """A corpus of one's own sentences."""

    name = fields.text("Name; the same again makes a new version.", "pasted", maximum=100)
    text = fields.text("One sentence a line.", "A first one.\nA second one.", maximum=MAX_TEXT, required=True)


class WebSchema(Schema):
    """A corpus of a page."""

    name = fields.text("Name; the same again makes a new version.", "web", maximum=100)
    url = fields.text("Address of a public page.", "https://example.org/", maximum=ADDRESS, required=True)


class NewCheckpointSchema(Schema):
    """A training."""

    name = fields.text("What the checkpoint is called.", "my_checkpoint", maximum=100)
    corpus = fields.text("Key or name of one of your corpora.", "synthetic", maximum=120, required=True)
    epochs = fields.whole("Passes over the members.", 100, low=1, high=1000)
    batch_size = fields.whole("Sentences of one step.", 64, low=1, high=1024)
    learning_rate = fields.number("Step size of Adam.", 0.002)
    seed = fields.whole("The same seed gives the same model.", 1, low=0, high=1 << 53)


class CheckpointSchema(Schema):
    """A training and what it left."""

    id = fields.text("Its name in addresses.", KEY)
    name = fields.text("What it is called.", "my_checkpoint")
    corpus = fields.text("Name of the corpus.", "synthetic")
    epochs = fields.whole("Passes over the members.", 100)
    batch_size = fields.whole("Sentences of one step.", 64)
    learning_rate = fields.number("Step size of Adam.", 0.002)
    status = fields.text("How far it is.", "running", choices=STATUSES)
    progress = fields.number("Share that is done.", 0.4)
    checkpoint = fields.text("Key of the file that it left; null while there is none.", allow_none=True)
    job = fields.text("Address of the job, with the loss curve as far as it goes.")


class MembershipAuditRequestSchema(Schema):
    """An audit."""

    checkpoint = fields.text(
        "Id of a training, or key or name of a checkpoint.", "my_checkpoint", maximum=120, required=True
    )
    corpus = fields.text("Key or name of the corpus that it was trained on.", "synthetic", maximum=120, required=True)
    batch_size = fields.whole("Sentences scored at a time.", 64, low=1, high=1024)
    input = fields.text(
        "Sentences to judge, separated by | or by line breaks; empty: nine for a demonstration.", maximum=20_000
    )
    seed = fields.whole("The same seed gives the same result.", 1, low=0, high=1 << 53)


class SentenceSchema(Schema):
    """What an audit says of one sentence."""

    content = fields.text("The sentence.")
    score = fields.number("Minus its mean loss per word, in nats.", -0.8)
    normalized_score = fields.number("The score put on 0 to 1, as WhisperTrace does.", 0.95)
    is_member = fields.flag("The verdict at the false-positive rate that was chosen.", True)
    p_value = fields.number("Share of sentences that were not trained on and score as high.", 0.01, allow_none=True)
    unknown_words = fields.number("Share of its words that the model does not know.", 0.0, allow_none=True)


class MembershipAuditSchema(Schema):
    """An audit and what it found."""

    id = fields.text("Its name in addresses.", KEY)
    checkpoint = fields.text("Name of the checkpoint.", "my_checkpoint")
    corpus = fields.text("Name of the corpus.", "synthetic")
    batch_size = fields.whole("Sentences scored at a time.", 64)
    input = fields.text("Sentences that were asked for.")
    status = fields.text("How far it is.", "accepted", choices=STATUSES)
    progress = fields.number("Share that is done.", 1.0)
    auc = fields.number("Area under the ROC curve of the loss; null while it is not known.", 0.99, allow_none=True)
    timestamp = fields.moment("When it was finished.", allow_none=True)
    sentences = fields.nested(SentenceSchema, "The sentences and the verdicts.", many=True)
    job = fields.text("Address of the job, whose report has the pictures as data.")
