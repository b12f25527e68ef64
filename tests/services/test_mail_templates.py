"""The templates of the mails: complete, escaped, and without a name that nobody gives them."""

from typing import Any

import pytest
from flask import Flask
from jinja2 import StrictUndefined

from app import tracks
from app.errors import Reason
from app.extensions import db
from app.models import Mail, Round, Team
from app.rules.phases import Phase
from app.services import attacks, mails
from tests.factories import make_attack, make_defence, make_match, make_round, make_team, make_upload, make_user

TEAM = "<b>Red</b> & {{ 7 * 7 }}"
FILENAME = "<img src=x onerror=alert(1)>.zip"


@pytest.fixture
def strict(app: Flask) -> None:
    """A name that no template is given is an error instead of an empty text."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.cache.clear()


@pytest.fixture
def game(strict: None) -> tuple[Round, Team, Team]:
    """A round, a team whose name is markup, and its opponent."""
    return (
        make_round("both"),
        make_team(TEAM, make_user("alice"), make_user("bob")),
        make_team("Blue", make_user("carol")),
    )


def render(to: Team, template: str, **context: Any) -> tuple[str, str]:
    mails.post(to.memberships[0].user, template, "Round 1: a subject", **context)
    db.session.commit()
    mail = db.session.scalars(db.select(Mail).order_by(Mail.id.desc())).first()
    assert mail is not None
    assert "\n\n\n" not in mail.text.strip()
    assert "Kind regards,\nSecret Race Strolling Team" in mail.text
    assert "None" not in mail.text + mail.html
    for part in ("<b>", "<img", "<script"):
        assert part not in mail.html
    return mail.text, mail.html


class TestTemplates:
    def test_the_link_of_a_new_account(self, game: Any) -> None:
        for page in render(game[1], "verify", token="a-token"):
            assert "http://localhost/verify/a-token" in page
            assert "Hey alice," in page

    def test_the_link_for_a_new_password(self, game: Any) -> None:
        for page in render(game[1], "reset", token="a-token"):
            assert "http://localhost/reset/a-token" in page

    def test_somebody_joined(self, game: Any) -> None:
        text, html = render(game[1], "joined", member=game[1].memberships[1].user, team=game[1])
        assert f"Hey Team {TEAM}," in text
        assert "bob has joined you" in text
        assert "Hey Team &lt;b&gt;Red&lt;/b&gt; &amp; {{ 7 * 7 }}," in html

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.NONE])
    def test_a_phase(self, game: Any, phase: Phase) -> None:
        for page in render(game[1], "phase", round=game[0], phase=phase, card=tracks.card(game[0].track)):
            assert phase.label.lower() in page
            assert ("http://localhost/defence/" in page) == phase.defence_open
            assert ("http://localhost/attack/" in page) == phase.attack_open
            assert ("http://localhost/leaderboard" in page) == (phase is Phase.FINISHED)

    def test_the_matches(self, game: Any) -> None:
        for page in render(
            game[2], "matches", round=game[0], team=game[2], opponents=[make_team("Green"), make_team("Sky")]
        ):
            assert "Hey Team Blue," in page
            assert "Green" in page
            assert "all 2 opponents" in page

    def test_every_reason_of_a_rejected_upload(self, game: Any) -> None:
        upload = make_upload(game[1], game[0], "attack", "rejected", filename=FILENAME)
        reasons = (
            Reason("Cells <1..N> are needed.", "line 4: <script>", "Add them.", 1700),
            Reason("Times are finite."),
        )
        text, html = render(game[1], "rejected", upload=upload, card=_card(game[0]), reasons=reasons)
        assert "breaks 2 rules" in text
        assert (
            "1. Cells <1..N> are needed.\n   Found: line 4: <script>\n   In 1,700 places.\n   To do: Add them." in text
        )
        assert "2. Times are finite.\n" in text
        assert "http://localhost/attack/" in text
        assert f"http://localhost/upload/{upload.id}" in text
        assert "line 4: &lt;script&gt;" in html

    def test_a_fault_of_ours(self, game: Any) -> None:
        upload = make_upload(game[1], game[0], "defence", "failed", filename=FILENAME, tries=3)
        for page in render(game[1], "failed", upload=upload, card=_card(game[0])):
            assert "The fault is ours" in page
            assert "3 times" in page

    def test_an_accepted_defence_with_what_its_numbers_mean(self, game: Any) -> None:
        defence = make_defence(game[1], game[0], 0.8123)
        text, html = render(game[1], "defence_accepted", upload=defence.upload, card=_card(game[0]), defence=defence)
        assert "Utility: 0.812 of 1 (1 = as good as undefended)" in text
        assert (
            "Bytes, median: 51234 B (95 % interval 51234 to 51234)\n    Bytes per capture in both directions." in text
        )
        assert "51234 B" in html

    @pytest.mark.parametrize("step", [0.0, 0.25])
    def test_an_accepted_attack_shows_no_more_than_the_round_allows(self, strict: None, step: float) -> None:
        row = make_round("attack", rules={"feedback_step": step})
        red, blue = make_team(TEAM, make_user("alice")), make_team("<b>Blue</b>", make_user("carol"))
        attack = make_attack(make_match(row, red, blue), 0.4321)
        shown = {attack.match_id: attacks.shown(attack, row)}
        context = {"upload": attack.upload, "card": _card(row), "attacks": [attack], "shown": shown}
        text, html = render(red, "attack_accepted", **context)
        assert "Against <b>Blue</b>" in text
        assert "Against &lt;b&gt;Blue&lt;/b&gt;" in html
        for page in (text, html):
            assert ("0.432" in page) == (step == 0)
            assert ("95 % interval" in page) == (step == 0)

    def test_text_has_no_entities(self, game: Any) -> None:
        text, _ = render(game[1], "joined", member=game[1].memberships[1].user, team=game[1])
        assert "&amp;" not in text
        assert "&lt;" not in text


def _card(row: Round) -> tracks.Card:
    return tracks.card(row.track)
