"""Shapes of the lab's files, experiments and jobs."""

import marshmallow as ma

from app.api import fields
from app.api.schemas import FigureSchema, Schema, metrics
from app.api.schemas.tracks import MetricSchema, ParameterSchema
from app.api.schemas.uploads import ReasonSchema
from app.experiments.assets import KINDS
from app.models import Status

STATUSES = tuple(Status)
KEY = "3f0c2b1e9d8a4c7fb6a5d4e3c2b1a098"


class AssetSchema(Schema):
    """One version of a file that a person keeps in the lab."""

    key = fields.text("Its name in addresses.", KEY)
    kind = fields.text("What it is.", "model")
    name = fields.text("As it was sent.", "classifier.onnx")
    version = fields.whole("Counts the files of this kind and name.", 1)
    status = fields.text("How far its check is; only accepted files can be used.", "accepted", choices=STATUSES)
    is_final = fields.flag("Whether nothing more will happen by itself.", True)
    size = fields.whole("Bytes.", 1_234_567)
    digest = fields.text("SHA-256 of the file.")
    facts = fields.mapping("What the check found in it.")
    reasons = fields.nested(ReasonSchema, "Why it was rejected: every reason at once.", many=True)
    created_at = fields.moment("Received at.")
    finished_at = fields.moment("Checked at.", allow_none=True)


class KindSchema(Schema):
    """What an uploaded file is."""

    kind = fields.text("What the file is.", "model", choices=tuple(KINDS), required=True)


class AssetFilterSchema(Schema):
    """Which files."""

    kind = fields.text("Only of this kind.", "model", maximum=32)


class InputSchema(Schema):
    """A file that an experiment works on."""

    name = fields.text("Key in a job's inputs.", "model")
    kind = fields.text("Kind of the file.", "model")
    help = fields.text("What it has to be.")
    is_required = fields.flag("Whether a job needs one.", True)


class ExperimentSchema(Schema):
    """Something that can be run in the lab."""

    slug = fields.text("Name in addresses.", "security-evaluation")
    title = fields.text("Title.", "Security evaluation")
    summary = fields.text("What it does.")
    is_heavy = fields.flag("Waits in the queue for long work.", True)
    inputs = fields.nested(InputSchema, "Files.", many=True)
    metrics = fields.nested(MetricSchema, "What is measured.", many=True)
    parameters = fields.nested(ParameterSchema, "What can be set.", many=True)


class NewJobSchema(Schema):
    """What to run."""

    inputs = fields.mapping("Key of a file by input.", {"model": KEY, "dataset": KEY}, load_default=dict)
    parameters = fields.mapping("Values by parameter; what is left out keeps its default.", load_default=dict)
    seed = fields.whole("The same seed gives the same result; left out: drawn.", 1, low=0, high=1 << 53)


class JobFilterSchema(Schema):
    """Which jobs."""

    experiment = fields.text("Only of this experiment.", "security-evaluation", maximum=48)
    status = fields.text("Only with this status.", "running", choices=STATUSES)


class JobSchema(Schema):
    """One run of an experiment."""

    key = fields.text("Its name in addresses.", KEY)
    experiment = fields.text("Slug of the experiment.", "security-evaluation")
    status = fields.text("How far it is.", "running", choices=STATUSES)
    is_final = fields.flag("Whether nothing more will happen by itself.", False)
    progress = fields.number("Share that is done.", 0.4)
    position = fields.whole("Place in the queue, 1 = next; 0 when it does not wait.", 0)
    seconds_left = fields.number("An estimate from the progress so far.", 12.5, allow_none=True)
    look = fields.nested(FigureSchema, "What can be seen while it runs, as pictures; empty afterwards.", many=True)
    files = fields.mapping("Size in bytes of each further file of the report, by name.", {"model.safetensors": 4096})
    reasons = fields.nested(ReasonSchema, "Why it was rejected: every reason at once.", many=True)
    detail = fields.text("What the status means, where that is not plain.")
    inputs = fields.mapping("Key of a file by input, as far as the files are still kept.")
    parameters = fields.mapping("Values by parameter.")
    seed = fields.text("The seed, as text because it may be longer than JSON's numbers.", "123456789")
    created_at = fields.moment("Requested at.")
    started_at = fields.moment("Started at.", allow_none=True)
    finished_at = fields.moment("Finished at.", allow_none=True)


class TableSchema(Schema):
    """Rows under named columns."""

    title = fields.text("Title.")
    columns = fields.texts("Names of the columns.")
    rows = ma.fields.List(ma.fields.List(ma.fields.Raw(allow_none=True)), metadata={"description": "Cells."})
    note = fields.text("A remark.")


class ReportSchema(Schema):
    """What an experiment found."""

    metrics = metrics("The experiment's metrics.")
    tables = fields.nested(TableSchema, "Numbers at full precision.", many=True)
    figures = fields.nested(FigureSchema, "Pictures as data.", many=True)
    notes = fields.texts("What a reader must know before trusting the numbers.")
    device = fields.text("What it ran on.", "cpu")


class TableFilterSchema(Schema):
    """Which table."""

    table = fields.whole("Place of the table in the report, from 0.", 0, low=0, high=100, strict=False, load_default=0)
