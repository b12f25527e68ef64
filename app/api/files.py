"""Files that come and go."""

import os
from typing import IO

from flask import Response, send_file, url_for
from werkzeug.datastructures import FileStorage

from app.api.blueprint import plain_name
from app.errors import Refused
from app.models import Upload
from app.services import uploads

ACCEPTED = {
    "Location": {"description": "Where to follow it.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until asking is worthwhile.", "schema": {"type": "integer"}},
}
BINARY = {"type": "string", "format": "binary"}


def checked(file: FileStorage, suffixes: tuple[str, ...]) -> str:
    """The name of a sent file. Refuses one of another kind before it costs an upload."""
    name = plain_name(file.filename)
    if not name.lower().endswith(suffixes):
        raise Refused(f"The file's name has to end with {' or '.join(suffixes)}.")
    return name


def location(upload: Upload) -> dict[str, str]:
    """The headers of an answer that says: received, evaluated later."""
    address = url_for(f"api.{upload.kind}s.one", identity=upload.id)
    return {"Location": address, "Retry-After": "1"}


def original(upload: Upload) -> Response:
    """An uploaded file as it was handed in; its digest is its tag."""
    response = sent(uploads.content(upload), upload.filename)
    response.set_etag(upload.digest)
    return response


def sent(stream: IO[bytes], name: str, mimetype: str = "application/zip") -> Response:
    """An open file as an attachment."""
    response = send_file(stream, mimetype, as_attachment=True, download_name=name, etag=False)
    response.content_length = os.fstat(stream.fileno()).st_size
    return response
