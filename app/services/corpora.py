"""Corpora of the lab: made from the template, pasted, and read again."""

from io import BytesIO

from app.errors import InvalidParameters, InvalidUpload, NotFound
from app.language import corpora, templates
from app.models import Asset, Job, Status, User
from app.services import assets, files

KIND, CHECKPOINT = "corpus", "checkpoint"


def synthetic(owner: User, name: str, count: int, seed: int) -> Asset:
    """A corpus of `count` sentences of the template."""
    return _keep(owner, name or "synthetic", corpora.Corpus(templates.synthetic(count, seed)))


def paste(owner: User, name: str, text: str) -> Asset:
    """A corpus of the lines of a text. Raises InvalidParameters with every reason against it."""
    try:
        return _keep(owner, name or "pasted", corpora.parse(text))
    except InvalidUpload as error:
        raise InvalidParameters({"text": str(error)}) from error


def _keep(owner: User, name: str, corpus: corpora.Corpus) -> Asset:
    return assets.submit(owner, KIND, BytesIO(corpus.to_text().encode()), name)


def text(asset: Asset) -> str:
    """The whole text of a corpus as it is kept."""
    with files.workspace() as folder:
        return files.store().fetch(asset.digest, folder).read_text("utf-8", errors="replace")


def preview(asset: Asset, length: int) -> str:
    """The first characters of a corpus, without the line that names its source."""
    with files.workspace() as folder, files.store().fetch(asset.digest, folder).open("rb") as file:
        file.readline()
        return file.read(4 * length).decode("utf-8", errors="ignore")[:length]


def checkpoint(job: Job) -> Asset | None:
    """The file of the lab that a training has left, unless its owner has deleted it."""
    kept = job.files.get("checkpoint.safetensors", {})
    same = [asset for asset in assets.of(job.owner, CHECKPOINT) if asset.digest == kept.get("digest")]
    return same[0] if same else None


def named(owner: User, kind: str, wanted: str) -> Asset:
    """One's own accepted file of a kind with this key or, of several with this name, the newest."""
    for asset in assets.of(owner, kind):
        if asset.status is Status.ACCEPTED and wanted in (asset.key, asset.name):
            return asset
    raise NotFound(f"You have no accepted {kind} with this name or key.")
