import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.parameters import describe, parse
from app.tracks import CARDS, card, game
from app.tracks.fingerprinting.adversaries import ATTACKS, Fingerprinter, adversaries, count_classes
from app.tracks.fingerprinting.house import NAMES, defence
from app.tracks.fingerprinting.settings import Settings
from app.tracks.fingerprinting.split import challenge

SETTINGS = Settings(NB_CLASSES=3, NB_TRACES_TO_CLASSIFY=9, MEAN_NB_REP_PER_CLASS=8, DEVIATION_NB_REP_PER_CLASS=4)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def public():
    return challenge(
        defence("undefended", np.random.default_rng(0), SETTINGS), SETTINGS, np.random.default_rng(0)
    ).public


class TestAdversaries:
    def test_they_are_the_blind_guess_and_every_attack_the_cheapest_first(self):
        assert list(adversaries()) == ["blind", *ATTACKS]

    @pytest.mark.parametrize("slug", ATTACKS)
    def test_their_fields_are_the_form_of_their_attack(self, slug):
        player = adversaries()[slug]

        assert isinstance(player, Fingerprinter)
        assert describe(type(player)) == describe(player.attack)
        assert (player.title, player.source, player.__doc__) == (
            player.attack.title,
            player.attack.source,
            player.attack.__doc__,
        )

    def test_they_are_frozen_and_made_from_untrusted_values(self):
        player = adversaries()["random-forest"]

        assert parse(type(player), {"trees": "12"}) == dataclasses.replace(player, trees=12)
        with pytest.raises(dataclasses.FrozenInstanceError):
            player.trees = 12

    def test_a_field_reaches_the_attack(self, public):
        few, many = (
            dataclasses.replace(adversaries()["random-forest"], trees=trees)(public, np.random.default_rng(0), "cpu")
            for trees in (1, 40)
        )

        assert len(np.unique(few["probabilities"])) < len(np.unique(many["probabilities"]))

    def test_cards_and_games_load_neither_torch_nor_scikit_learn(self):
        code = (
            "import sys; from app.tracks import CARDS, game; game('fingerprinting', {});"
            "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
        )

        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


class TestBlind:
    def test_it_answers_uniformly_for_every_test_capture(self, public):
        told = []

        answer = adversaries()["blind"](public, np.random.default_rng(0), "cpu", told.append)

        assert np.array_equal(answer["capture"], public["test_capture"])
        assert np.allclose(answer["probabilities"], 1 / 3)
        assert told == [1.0]


class TestCountClasses:
    def test_it_counts_the_cells(self, public):
        assert count_classes(public) == 3


class TestHouseDefences:
    def test_they_protect_the_captures_that_they_are_given(self):
        base = defence("undefended", np.random.default_rng(0), SETTINGS)

        for name in NAMES:
            protected = defence(name, np.random.default_rng(1), SETTINGS, base)

            assert np.array_equal(protected["cell"], base["cell"])
            assert np.array_equal(protected["rep"], base["rep"])

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(ValueError, match="tamaraw"):
            defence("hope", np.random.default_rng(0), SETTINGS)


class TestTracks:
    def test_a_game_is_made_from_a_slug_and_the_settings_of_a_round(self):
        played = game("fingerprinting", {"NB_CLASSES": "8", "NB_TRACES_TO_CLASSIFY": 20})

        assert played.settings.NB_CLASSES == 8
        assert played.card is card("fingerprinting") is CARDS[0]
