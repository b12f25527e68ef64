"""A whole round of every track that needs no captures: issued, defended, matched, attacked, ranked, by real workers."""

import io
import zipfile

import numpy as np
import pytest

from app import bundles, tracks
from app.models import Status
from app.rules.phases import Phase
from app.services import attacks, defences, files, house, issues, leaderboard, matches, rounds, teams
from app.tracks.base import Seat
from tests.factories import make_team, make_user
from tests.journeys.conftest import finished, fresh, wait_for
from tests.tracks.test_laws import SMALL

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("journeys")]

ATTACKERS = {"robustness": "pgd", "membership": "loss-threshold", "gradient_leakage": "analytic"}
"""A cheap adversary of each track, which the teams play by hand."""


def seated(row, team):
    """The game as the team's own machine would have it."""
    return tracks.game(row.track, row.track_settings, Seat(row.seed, team.id))


def hand_in(team, path, kind):
    with path.open("rb") as file:
        upload = kind.submit(teams.members(team)[0], file, path.name)
    wait_for(lambda: finished(upload), f"the evaluation of {path.name}", 120)
    assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
    return upload


def defend(row, team, name, folder):
    game = seated(row, team)
    path = folder / f"team_{team.id}{game.card.defence.suffixes[0]}"
    game.write_defence(game.house_defence(name, np.random.default_rng(team.id)), path)
    return hand_in(team, path, defences)


def answer(row, team, found, folder):
    """What an adversary makes of the public halves."""
    game = seated(row, team)
    attacker = game.adversaries()[ATTACKERS[row.track]]
    answers = {}
    for match in found:
        with files.workspace() as workspace:
            public = bundles.read(files.store().fetch(match.defence.public, workspace), None)
        answers[match.defender_id] = attacker(public, np.random.default_rng(1), "cpu")
    path = folder / f"answer{game.card.answer.suffixes[0]}"
    game.write_answer(answers, path)
    return path


def check_issue(row, playing, person):
    wait_for(lambda: all(issues.of(team, row) for team in playing), "what the round issues")
    stream, name = issues.download(person, row)
    with stream, zipfile.ZipFile(io.BytesIO(stream.read())) as archive:
        assert archive.namelist()
    assert name.endswith(".zip")


@pytest.mark.parametrize("slug", ATTACKERS)
def test_a_round_is_played_to_the_board(app, tmp_path, slug):
    row = rounds.create(None, slug, settings=SMALL[slug], seed=11)
    rounds.make_current(None, row)
    people = [make_user(f"{name}-{slug}") for name in ("red", "blue")]
    playing = [make_team(f"{name} {slug}", person) for name, person in zip(("Red", "Blue"), people, strict=True)]
    house.prepare_reference(None, row)
    wait_for(lambda: fresh(row).reference_id is not None, "the undefended reference", 120)
    rounds.set_phase(None, row, Phase.DEFENCE)

    if tracks.card(slug).issue:
        check_issue(row, playing, people[0])
    names = seated(row, playing[0]).house_defences()
    handed_in = [defend(row, team, name, tmp_path) for team, name in zip(playing, (names[0], names[-1]), strict=True)]
    utilities = [defences.of_upload(upload).utility for upload in handed_in]
    # Teams have data of their own, and on few held-out records a defence may cost nothing.
    assert 1 >= utilities[0] >= utilities[1] > 0

    rounds.set_phase(None, row, Phase.ATTACK)
    assert len(matches.generate(None, row)) == 2
    leaks = {}
    for team, person in zip(playing, people, strict=True):
        attacks.download(person, tmp_path / "sets.zip")
        with zipfile.ZipFile(tmp_path / "sets.zip") as archive:
            assert archive.testzip() is None
        found = matches.of_attacker(team, row)
        upload = hand_in(team, answer(row, team, found, tmp_path), attacks)
        (part,) = attacks.of_upload(upload)
        leaks[part.match.defender_id] = part.leakage

    undefended, defended = (leaks[team.id] for team in playing)
    assert undefended >= defended
    leaderboard.forget()
    board = leaderboard.board(row)
    assert {board.names[standing.team] for standing in board.rows} >= {team.name for team in playing}
