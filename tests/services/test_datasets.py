"""Data sets of rounds."""

import dataclasses

import pytest

from app import tracks
from app.errors import Conflict, InvalidParameters, InvalidUpload, NotFound, Reason
from app.models import Status
from app.services import datasets, rounds
from tests.factories import make_admin, make_round, make_user, set_phase
from tests.services.lab import make_asset


@pytest.fixture(autouse=True)
def taking(monkeypatch):
    """The first track, as if it took sets of images."""
    first, *others = tracks.CARDS
    monkeypatch.setattr(tracks, "CARDS", (dataclasses.replace(first, data_kinds=("dataset",)), *others))


@pytest.fixture
def ada(app):
    return make_admin()


class TestSuited:
    def test_only_accepted_files_of_the_right_kind_of_admins_are(self, ada):
        letters = make_asset(ada, "dataset", "letters.npz")
        make_asset(ada, "model")
        make_asset(ada, "dataset", status=Status.REJECTED)
        make_asset(make_user("mallory"), "dataset")
        assert datasets.suited("fingerprinting") == [letters]
        assert datasets.suited("robustness") == [] or "dataset" in tracks.card("robustness").data_kinds

    def test_another_key_is_not_found(self, ada):
        foreign = make_asset(make_user("mallory"), "dataset")
        with pytest.raises(NotFound):
            datasets.named("fingerprinting", foreign.key)

    def test_no_key_means_the_tracks_own(self, ada):
        assert datasets.named("fingerprinting", "") is None


class TestARoundWithOne:
    def test_it_is_checked_and_kept(self, referee, ada):
        letters = make_asset(ada, "dataset", "letters.npz")
        row = rounds.create(ada, "fingerprinting", data=letters)
        (asked,) = referee.asked_for("check_data")
        assert row.data is letters
        assert asked["place"]["data"]["kind"] == "dataset"
        assert letters.digest in asked["place"]["data"]["path"]

    def test_one_that_does_not_fit_is_refused_with_every_reason(self, referee, ada):
        referee.verdicts["check_data"] = InvalidUpload([Reason("There are at least 100 images."), Reason("No labels.")])
        with pytest.raises(InvalidParameters) as refusal:
            rounds.create(ada, "fingerprinting", data=make_asset(ada, "dataset"))
        assert "at least 100" in refusal.value.problems["data"]
        assert "No labels" in refusal.value.problems["data"]

    def test_it_is_frozen_when_the_round_opens(self, referee, ada):
        row = make_round()
        set_phase(row, "defence")
        with pytest.raises(Conflict, match="frozen"):
            rounds.edit(ada, row, "", row.track_settings, row.rules, make_asset(ada, "dataset"))
