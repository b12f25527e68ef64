"""A job of the lab with a real worker: run, cancelled while it runs, and taken up again after its worker was killed."""

import io

import pytest

from app.models import Status
from app.services import assets, jobs
from tests.factories import make_user
from tests.image_classifiers import images, npz_file, onnx_file
from tests.journeys.conftest import finished, fresh, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("journeys")]

SHORT = {"attack": "pgd-linf", "perturbation_values": "0.1, 0.2", "steps": 5, "checks": False}
LONG = {
    **SHORT,
    "steps": 10_000,
    "restarts": 100,
    "perturbation_values": ", ".join(f"{i / 1000}" for i in range(1, 40)),
}


@pytest.fixture
def lab(app, platform, request):
    """A person with a model and a data set that the worker has checked; the lab's worker runs."""
    platform.start("lab")
    owner = make_user(f"lab-{abs(hash(request.node.name)) % 10**6}")
    samples, labels = images()
    uploaded = {
        "model": assets.submit(owner, "model", io.BytesIO(onnx_file()), "small.onnx"),
        "dataset": assets.submit(owner, "dataset", io.BytesIO(npz_file(samples, labels)), "images.npz"),
    }
    for asset in uploaded.values():
        wait_for(lambda asset=asset: finished(asset), f"the check of {asset.name}")
        assert asset.status is Status.ACCEPTED, asset.reasons
    yield owner, uploaded
    platform.stop("lab")


class TestAJob:
    def test_is_run_and_its_report_kept(self, lab):
        owner, inputs = lab
        job = jobs.request(owner, "security-evaluation", SHORT, inputs, seed=1)

        wait_for(lambda: finished(job), "the job")

        assert job.status is Status.ACCEPTED, job.log or job.reasons
        assert job.report["tables"]
        again = jobs.run_again(owner, job)
        wait_for(lambda: finished(again), "the second run")
        assert again.report["metrics"] == job.report["metrics"]

    def test_stops_when_it_is_cancelled_while_it_runs(self, lab):
        owner, inputs = lab
        job = jobs.request(owner, "security-evaluation", LONG, inputs, seed=1)
        wait_for(lambda: fresh(job).progress > 0, "some progress")

        jobs.cancel(owner, job)

        wait_for(lambda: finished(job), "the end")
        assert (job.status, job.report) == (Status.CANCELLED, {})

    def test_is_run_again_once_when_its_worker_was_killed(self, platform, lab):
        owner, inputs = lab
        job = jobs.request(owner, "security-evaluation", {**SHORT, "checks": True}, inputs, seed=1)
        wait_for(lambda: fresh(job).status is Status.RUNNING, "the beginning")
        platform.kill("lab")
        assert fresh(job).status is Status.RUNNING

        platform.start("lab")

        wait_for(lambda: finished(job), "the second try")
        assert (job.status, job.tries) == (Status.ACCEPTED, 2)
