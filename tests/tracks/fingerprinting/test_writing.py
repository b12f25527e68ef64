import zipfile

import numpy as np
import pandas as pd
import pytest

from app.traces import Traces
from app.tracks.fingerprinting import answer_file, defence_file, writing
from app.tracks.fingerprinting.house import defence
from app.tracks.fingerprinting.settings import Settings
from app.tracks.fingerprinting.split import challenge

SETTINGS = Settings(NB_CLASSES=4, NB_TRACES_TO_CLASSIFY=8, MEAN_NB_REP_PER_CLASS=6, DEVIATION_NB_REP_PER_CLASS=3)


@pytest.fixture(scope="module")
def captured():
    return defence("undefended", np.random.default_rng(0), SETTINGS)


@pytest.fixture(scope="module")
def asked(captured):
    return challenge(captured, SETTINGS, np.random.default_rng(1))


def text(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read(path.stem)


class TestWriteChallenge:
    def test_both_files_hold_what_is_public_and_nothing_else(self, asked, tmp_path):
        train_path, test_path = writing.write_challenge(asked.public, 7, tmp_path, SETTINGS)

        train, test = pd.read_csv(train_path), pd.read_csv(test_path)
        length = Traces.from_bundle(asked.public, "train_").length

        assert (train_path.name, test_path.name) == ("team_7_train.csv.zip", "team_7_test.csv.zip")
        assert list(train) == ["cell_id", "rep", "direction_size", "timestamp"]
        assert list(test) == ["capture_id", "direction_size", "timestamp"]
        assert train["cell_id"].tolist() == np.repeat(asked.public["train_cell"], length).tolist()
        assert train["rep"].tolist() == np.repeat(asked.public["train_capture"], length).tolist()
        assert train["direction_size"].tolist() == asked.public["train_size"].tolist()
        assert np.abs(train["timestamp"] - asked.public["train_time"]).max() <= 0.5e-6 + 1e-12
        assert test["direction_size"].tolist() == asked.public["test_size"].tolist()
        assert pd.unique(test["capture_id"]).tolist() == asked.public["test_capture"].tolist()

    def test_blocks_may_end_within_a_capture(self, asked, tmp_path, monkeypatch):
        whole = [text(path) for path in writing.write_challenge(asked.public, 1, tmp_path, SETTINGS)]

        monkeypatch.setattr(writing, "PACKETS", 137)

        assert [text(path) for path in writing.write_challenge(asked.public, 1, tmp_path, SETTINGS)] == whole

    def test_equal_challenges_become_equal_files(self, asked, tmp_path):
        first = [path.read_bytes() for path in writing.write_challenge(asked.public, 1, tmp_path, SETTINGS)]

        assert first == [path.read_bytes() for path in writing.write_challenge(asked.public, 1, tmp_path, SETTINGS)]

    def test_columns_are_named_by_the_settings(self, asked, tmp_path):
        named = Settings(DEFENCE_COLUMNS="site,visit,size,at", ATTACK_COLUMNS="opponent,trace")

        train, test = (pd.read_csv(path) for path in writing.write_challenge(asked.public, 1, tmp_path, named))

        assert list(train) == ["site", "visit", "size", "at"]
        assert list(test) == ["trace", "size", "at"]

    def test_the_training_file_is_a_readable_defence(self, asked, tmp_path):
        path, _ = writing.write_challenge(asked.public, 1, tmp_path, SETTINGS)
        wide = Settings(NB_CLASSES=4, NB_TRACES_TO_CLASSIFY=4, MEAN_NB_REP_PER_CLASS=10, DEVIATION_NB_REP_PER_CLASS=9)

        read = defence_file.read(path, wide)

        assert read["cell"].tolist() == asked.public["train_cell"].tolist()
        assert read["rep"].tolist() == asked.public["train_capture"].tolist()


class TestWriteDefence:
    def test_it_is_read_back_to_the_microsecond(self, captured, tmp_path):
        path = tmp_path / "defence.csv.zip"

        writing.write_defence(captured, path, SETTINGS)
        read = defence_file.read(path, SETTINGS)

        assert np.abs(read["time"] - captured["time"]).max() <= 0.5e-6 + 1e-12
        order = np.lexsort((captured["rep"], captured["cell"]))
        assert np.array_equal(read["size"], Traces.from_bundle(captured).take(order).size)


class TestWriteAnswer:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_answers_to_several_teams_are_read_back_as_the_same_numbers(self, asked, tmp_path, dtype):
        rng = np.random.default_rng(0)
        answers = {
            team: {"capture": asked.public["test_capture"], "probabilities": rng.dirichlet(np.ones(4), 8).astype(dtype)}
            for team in (3, 12)
        }

        writing.write_answer(answers, tmp_path / "answer.csv.zip", SETTINGS)
        read = answer_file.read(tmp_path / "answer.csv.zip", dict.fromkeys(answers, asked.public), SETTINGS)

        for team, answer in answers.items():
            assert np.array_equal(read[team]["capture"], answer["capture"])
            assert np.allclose(read[team]["probabilities"], answer["probabilities"], rtol=1e-6, atol=0)
