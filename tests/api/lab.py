"""What the tests of the lab's interface share: small files, uploaded and checked as on a real server."""

import io

from tests import image_classifiers as classifiers
from tests.factories import run_tasks


def sent(app, client, headers, kind, content, name):
    """The answer to an upload, after its check."""
    response = client.post(f"/api/assets?kind={kind}", headers=headers, data={"file": (io.BytesIO(content), name)})
    assert response.status_code == 202, response.text
    run_tasks(app)
    return response


def uploaded_pair(app, client, headers):
    """Keys of a model and a data set that fit."""
    files = {
        "model": (classifiers.onnx_file(), "model.onnx"),
        "dataset": (classifiers.npz_file(*classifiers.images(12)), "data.npz"),
    }
    return {kind: sent(app, client, headers, kind, *file).json["key"] for kind, file in files.items()}
