"""The five journeys of the design, through a real broker and a real worker."""

import io
import zipfile

import pytest

from app import bundles
from app.extensions import db
from app.models import Mail, MailStatus, Status
from app.rules.phases import Phase
from app.services import attacks, defences, files, leaderboard, matches, references, rounds, teams
from tests.factories import answer_file, defence_file, log_in
from tests.journeys.conftest import finished, fresh, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("journeys")]


def hand_in(team, content, kind=defences, name="mine.zip"):
    return kind.submit(teams.members(team)[0], io.BytesIO(content), name)


def mails_to(team, subject):
    db.session.rollback()
    address = teams.members(team)[0].email
    found = db.session.scalars(db.select(Mail).where(Mail.recipient == address, Mail.subject.contains(subject)))
    return list(found)


def play(row, playing, names=("undefended", "front", "burst-padding")):
    """Defences of all teams, accepted, and the matches."""
    rounds.set_phase(None, row, Phase.DEFENCE)
    handed_in = [hand_in(team, defence_file(name)) for team, name in zip(playing, names, strict=False)]
    for upload in handed_in:
        wait_for(lambda one=upload: finished(one), "the check")
        assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
    rounds.set_phase(None, row, Phase.ATTACK)
    return matches.generate(None, row)


class TestADefence:
    def test_it_is_accepted_and_the_house_attacks_it(self, app, platform, new_round):
        row, (red,) = new_round("red")
        rounds.set_phase(None, row, Phase.DEFENCE)
        upload = hand_in(red, defence_file())
        assert upload.status is Status.QUEUED
        wait_for(lambda: finished(upload), "the check")
        assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
        defence = defences.of_upload(upload)
        assert 0 < defence.utility <= 1
        platform.broker().delete("evaluation")
        results = {one.adversary: one for one in defence.references}
        queued = [results["blind"], results["nearest-neighbour"]]
        references.enqueue(queued)
        platform.start("evaluation")
        try:
            wait_for(lambda: all(finished(one) for one in queued), "the house's attacks")
        finally:
            platform.stop("evaluation")
        assert [one.status for one in queued] == [Status.ACCEPTED] * 2, [one.log for one in queued]
        assert queued[0].leakage == 0
        assert queued[1].leakage > 0.3

    def test_the_team_is_told_by_a_mail_that_is_written_to_the_folder(self, app, new_round):
        row, (red,) = new_round("red")
        rounds.set_phase(None, row, Phase.DEFENCE)
        upload = hand_in(red, defence_file())
        wait_for(lambda: finished(upload), "the check")
        wait_for(lambda: mails_to(red, "accepted"), "the mail")
        (mail,) = mails_to(red, "accepted")
        wait_for(lambda: fresh(mail).status is MailStatus.WRITTEN, "the delivery")
        assert list(files.Path(app.config["MAIL_FOLDER"]).glob(f"{mail.id:06d}.eml"))

    def test_a_bad_file_is_rejected_with_reasons_and_the_team_is_told(self, app, new_round):
        row, (red,) = new_round("red")
        rounds.set_phase(None, row, Phase.DEFENCE)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("mine.csv", "cell_id,rep,direction_size,timestamp\n1,1,0,0.5\n1,1,70000,nan\n")
        upload = hand_in(red, content.getvalue())
        wait_for(lambda: finished(upload), "the check")
        assert upload.status is Status.REJECTED
        assert len(upload.reasons) > 1
        assert upload.tries == 1
        assert defences.of_upload(upload) is None
        (mail,) = mails_to(red, "not accepted")
        assert upload.reasons[0]["rule"] in mail.text


class TestARound:
    def test_defences_matches_attacks_and_standings(self, app, client, new_round):
        row, playing = new_round("red", "blue", "green", scoring="balanced")
        found = play(row, playing)
        assert {(match.attacker_id, match.defender_id) for match in found} == {
            (one.id, other.id) for one in playing for other in playing if one is not other
        }
        red = playing[0]
        mine = matches.of_attacker(red, row)
        upload = hand_in(red, answer_file(mine, accuracy=0.75), attacks)
        wait_for(lambda: finished(upload), "the scoring")
        assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
        scored = attacks.of_upload(upload)
        assert [attack.metrics["accuracy"]["value"] for attack in scored] == pytest.approx([0.75, 0.75])
        board = leaderboard.compute(row)
        best = board.rows[0]
        assert best.team == red.id
        assert (best.attacked, best.matches) == (2, 2)
        assert best.attack == pytest.approx(100 * (0.75 - 1 / 8) / (1 - 1 / 8))
        wait_for(lambda: mails_to(red, "attack was accepted"), "the mail")

    def test_no_download_holds_a_hidden_label(self, app, client, new_round):
        row, playing = new_round("red", "blue")
        found = play(row, playing)
        red = playing[0]
        log_in(client, teams.members(red)[0])
        with client.get("/attack/download") as response:
            assert response.status_code == 200
            download = response.data
        everything = dict(unzipped(download))
        (mine,) = [match for match in found if match.attacker_id == red.id]
        secret = bundles.read(files.store().fetch(mine.defence.secret, None), None, 1 << 30)
        assert len(everything) == 2
        train, test = (table(content) for _, content in sorted(everything.items(), reverse=True))
        assert set(test) == {"capture_id", "direction_size", "timestamp"}
        assert set(test["capture_id"]) == set(secret["capture"].tolist())
        # A hidden label would be a row that joins a test capture's id to a cell, anywhere in what is handed out.
        assert not set(train["rep"]) & set(secret["capture"].tolist())
        stored = files.store().fetch(mine.defence.secret, None).read_bytes()
        for content in [download, *everything.values()]:
            assert stored not in content
            assert secret["cell"].tobytes() not in content

    def test_a_planted_canary_is_in_no_download(self, app, client, new_round, tmp_path):
        row, playing = new_round("red", "blue")
        found = play(row, playing)
        canary = b"canary-7d1f0c55"
        for match in found:
            planted, _ = files.store().put(io.BytesIO(canary * 100))
            match.defence.secret = planted
        db.session.commit()
        for team in playing:
            log_in(client, teams.members(team)[0])
            for address in ("/attack/download", "/attack/", "/defence/", "/leaderboard/", "/index"):
                with client.get(address) as response:
                    content = response.data
                for part in (content, *dict(unzipped(content)).values()):
                    assert canary not in part, address


def unzipped(content):
    """Every member of a zip, those of zips inside included."""
    if not content.startswith(b"PK"):
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            part = archive.read(name)
            if part.startswith(b"PK"):
                yield from ((f"{name}/{inner}", found) for inner, found in unzipped(part))
            else:
                yield name, part


def table(content):
    header, *lines = content.decode().splitlines()
    columns = zip(*(line.split(",") for line in lines), strict=True)
    integers = ("cell_id", "rep", "capture_id", "direction_size")
    return {
        name: [int(value) if name in integers else float(value) for value in values]
        for name, values in zip(header.split(","), columns, strict=True)
    }
