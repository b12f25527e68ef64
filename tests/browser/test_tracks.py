"""Rounds of membership and of gradient leakage by hand: set up, issued, defended, attacked, and looked at."""

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from app import bundles, tracks
from app.tracks.base import Bundle, Seat, Track
from tests.browser.visitor import Visitor
from tests.image_classifiers import images, npz_file

PASSWORD = "a long race at night"
PATIENCE = 300_000
"""Milliseconds that a worker may take on a busy machine."""
SEED = 11

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Course:
    """A track with a round that is played within seconds."""

    slug: str
    settings: dict[str, int | str]
    attacker: str
    """The cheap adversary that the teams play by hand, and whose result they look at."""
    utility: str
    """A picture of what a defence costs."""
    issued: set[str]

    def game(self, team: int) -> Track:
        """The game as the team's own machine would have it."""
        return tracks.game(self.slug, self.settings, Seat(SEED, team))


MEMBERSHIP = Course(
    "membership",
    {"TRAINING_RECORDS": 120, "MEMBERS": 100, "POPULATION_RECORDS": 200, "HELD_OUT_RECORDS": 150},
    "loss-threshold",
    "Accuracy by class",
    {"training_set.npz", "population.npz", "about.json"},
)
GRADIENTS = Course(
    "gradient_leakage",
    {"MODEL": "fc2", "BATCHES": 2, "RECORDS": 4, "PUBLIC": 200, "HELD_OUT": 100},
    "analytic",
    "News kept by batch",
    {"rules.json", "weights.npz", "public.npz", "private.npz"},
)


class TestMembership:
    def test_from_the_data_set_to_the_result_of_an_attack(self, platform, visit, tmp_path):
        ada = admin(platform, visit)
        offer_a_data_set(ada)
        number = set_up(ada, MEMBERSHIP)
        teams = [found_team(platform, visit, name, place) for place, name in enumerate(("mia", "max"), 100_041)]
        issued = [receive(each, MEMBERSHIP, tmp_path) for each in teams]
        see_the_form(teams[0], MEMBERSHIP)
        for each, folder in zip(teams, issued, strict=True):
            hand_in(each, "/defence/", "Upload the defence", defence(MEMBERSHIP, folder))
        see_the_result(teams[0], MEMBERSHIP)
        see_the_house(platform, teams[0], MEMBERSHIP, ["How exposed your records are", "Members found by"])
        start_the_attack(ada, number)
        attack(teams[0], MEMBERSHIP, tmp_path, about=issued[0])
        expect(teams[0].page.locator("main figure.chart")).to_have_count(0)
        see_the_board(teams[0], MEMBERSHIP)


class TestGradientLeakage:
    def test_from_the_private_batches_to_the_reconstructions(self, platform, visit, tmp_path):
        ada = admin(platform, visit)
        number = set_up(ada, GRADIENTS)
        teams = [found_team(platform, visit, name, place) for place, name in enumerate(("gus", "gwen"), 100_051)]
        issued = [receive(each, GRADIENTS, tmp_path) for each in teams]
        see_the_form(teams[0], GRADIENTS)
        for each, folder in zip(teams, issued, strict=True):
            hand_in(each, "/defence/", "Upload the defence", defence(GRADIENTS, folder))
        see_the_result(teams[0], GRADIENTS)
        see_the_house(
            platform, teams[0], GRADIENTS, ["Private records and reconstructions", "Share of records by quality"]
        )
        start_the_attack(ada, number)
        attack(teams[0], GRADIENTS, tmp_path, about=issued[0])
        page = teams[0].page
        assert page.locator("main .image-grid img").count() == 8
        assert page.locator("main figure.chart .chart-title").all_inner_texts() == ["Your reconstructions"]
        see_the_board(teams[0], GRADIENTS)


class TestTheOffer:
    def test_every_track_and_every_experiment_can_be_read_about(self, platform, visit):
        ada = admin(platform, visit)
        for slug in ("membership", "gradient_leakage", "robustness"):
            ada.open(f"/rules/{slug}")
            ada.look(f"rules-{slug}")
        ada.open("/admin/rounds/new?track=robustness")
        ada.look("robustness-set-up")
        ada.open("/rules/")
        ada.look("rules")
        ada.open("/lab/")
        ada.look("lab-experiments")
        for slug in ("federated-protection", "gradient-leakage"):
            ada.open(f"/lab/experiments/{slug}")
            ada.look(f"form-{slug}")


def admin(platform, visit) -> Visitor:
    """The first admin, while nothing keeps the cores busy."""
    platform.pause_the_house()
    ada: Visitor = visit(platform.address)
    ada.log_in("admin", platform.password)
    return ada


def offer_a_data_set(ada: Visitor) -> None:
    """A file of the lab that rounds may be played on."""
    ada.open("/lab/files/")
    ada.page.select_option("[name=kind]", "dataset")
    content = npz_file(*images(80))
    ada.page.set_input_files("[name=file]", {"name": "pictures.npz", "mimeType": "application/zip", "buffer": content})
    ada.press("Upload")
    expect(ada.page.locator("main .status-accepted").first).to_be_visible(timeout=PATIENCE)


def set_up(ada: Visitor, course: Course) -> int:
    """A round by the form, shown to all, with the defence phase open; its number."""
    ada.open(f"/admin/rounds/new?track={course.slug}")
    ada.fill(seed=SEED, **{f"settings-{name}": value for name, value in course.settings.items() if name != "MODEL"})
    if "MODEL" in course.settings:
        ada.page.select_option("[name=settings-MODEL]", str(course.settings["MODEL"]))
    else:
        expect(ada.page.locator("[name=data] option", has_text="pictures.npz, version")).to_be_attached()
    ada.look(f"{course.slug}-set-up")
    ada.press("Set up the round")
    expect(ada.page.locator(".flashes")).to_contain_text("has been set up")
    number = int(ada.page.url.rpartition("/")[2])
    if ada.page.locator("main").get_by_role("button", name="Make current").count():
        ada.confirm("Make current")
        expect(ada.page.locator(".flashes")).to_contain_text("is the current round now")
    set_phase(ada, number, "defence")
    return number


def set_phase(ada: Visitor, number: int, phase: str) -> None:
    ada.open(f"/admin/phase?round={number}")
    ada.page.check(f"[name=phase][value={phase}]")
    ada.confirm("Change the phase")
    expect(ada.page.locator(".flashes")).to_contain_text(f"Round {number} is in this phase now")


def found_team(platform, visit, name: str, sciper: int) -> Visitor:
    """Somebody new with a team of their own."""
    visitor: Visitor = visit(platform.address)
    visitor.open("/register")
    visitor.fill(username=name, email=f"{name}@example.org", password=PASSWORD, password2=PASSWORD, sciper=sciper)
    visitor.page.select_option("[name=team_select]", "+new")
    visitor.fill(new_team_name=f"{name.capitalize()} and friends")
    visitor.press("Register")
    visitor.log_in(name, PASSWORD)
    return visitor


def receive(visitor: Visitor, course: Course, folder: Path) -> Path:
    """Download what the round issues to a team; the folder of the files, called like the number of the team."""
    visitor.open("/defence/")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Download your team's files").click()
    team = re.fullmatch(r"round_\d+_team_(\d+)_files\.zip", download.value.suggested_filename)[1]
    issued = folder / team
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(issued)
    assert {path.name for path in issued.iterdir()} == course.issued
    return issued


def see_the_form(visitor: Visitor, course: Course) -> None:
    """The form says where to begin, and leads to the rules of the track."""
    visitor.open("/defence/")
    expect(visitor.page.locator("main")).to_contain_text(f"attack_defence_test_scripts/{course.slug}/")
    visitor.look(f"{course.slug}-defence")
    visitor.page.locator(".page-actions").get_by_role("link", name="Rules").click()
    expect(visitor.page.get_by_role("heading", name=tracks.card(course.slug).title, level=1)).to_be_visible()


def see_the_result(visitor: Visitor, course: Course) -> None:
    """Every measure of utility, and a picture."""
    for metric in tracks.card(course.slug).utility_metrics:
        expect(visitor.page.get_by_role("rowheader", name=metric.title, exact=True)).to_be_visible()
    expect(visitor.page.locator("main figure.chart", has_text=course.utility)).to_be_visible()
    visitor.look(f"{course.slug}-defence-result")


def defence(course: Course, issued: Path) -> Path:
    """The undefended defence of a team's seat, as a file beside what it was issued."""
    team = int(issued.name)
    game = course.game(team)
    path = issued / f"mine{game.card.defence.suffixes[0]}"
    game.write_defence(game.house_defence(game.house_defences()[0], np.random.default_rng(team)), path)
    return path


def hand_in(visitor: Visitor, form: str, button: str, path: Path) -> None:
    visitor.open(form)
    visitor.page.set_input_files("[name=file]", path)
    visitor.press(button)
    expect(visitor.page.locator("main .status-accepted")).to_be_visible(timeout=PATIENCE)


def see_the_house(platform, visitor: Visitor, course: Course, titles: list[str]) -> None:
    """The cheapest attacks are done, and what one of them saw is drawn."""
    platform.let_the_house_play()
    title = course.game(0).adversaries()[course.attacker].title
    visitor.open("/")
    visitor.page.get_by_role("link", name="Team page").click()
    row = visitor.page.locator("#team-house tbody tr", has=visitor.page.get_by_role("link", name=title, exact=True))
    expect(row).to_contain_text("Done", timeout=PATIENCE)
    platform.pause_the_house()
    visitor.look(f"{course.slug}-team")
    row.get_by_role("link").first.click()
    for text in titles:
        expect(visitor.page.locator("main figure.chart", has_text=text).first).to_be_visible()
    visitor.look(f"{course.slug}-adversary", in_the_dark=True)


def start_the_attack(ada: Visitor, number: int) -> None:
    ada.open(f"/admin/matches?round={number}")
    ada.confirm("Generate the matches")
    expect(ada.page.get_by_text("2 matches have been generated")).to_be_visible()
    set_phase(ada, number, "attack")


def attack(visitor: Visitor, course: Course, folder: Path, about: Path) -> None:
    """Download, answer with an adversary, upload, and see the result."""
    page = visitor.page
    visitor.open("/attack/")
    visitor.look(f"{course.slug}-attack")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything to attack").click()
    sets = folder / "sets"
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(sets)
    (opponent,) = {int(re.match(r"team_(\d+)_", path.name)[1]) for path in sets.iterdir()}
    game, public = course.game(opponent), PUBLIC[course.slug](sets / f"team_{opponent}", about)
    answer = game.adversaries()[course.attacker](public, np.random.default_rng(1), "cpu")
    path = folder / f"answer{game.card.answer.suffixes[0]}"
    game.write_answer({opponent: answer}, path)
    hand_in(visitor, "/attack/", "Upload the attack", path)
    expect(page.get_by_role("table", name="Your attack, match by match").locator("tbody tr")).to_have_count(1)
    visitor.look(f"{course.slug}-attack-result")


def model_and_candidates(prefix: Path, about: Path) -> Bundle:
    """The challenge of a round of membership, from its files."""
    candidates, population = (bundles.read(Path(f"{prefix}_{name}.npz"), None) for name in ("candidates", "population"))
    return {
        "model": np.frombuffer(Path(f"{prefix}_model.onnx").read_bytes(), np.uint8),
        "classes": np.array(json.loads((about / "about.json").read_text())["classes"]),
        "record_id": candidates["record_id"],
        **{f"candidates_{name}": candidates[name] for name in "xy"},
        **{f"population_{name}": population[name] for name in "xy"},
    }


def what_was_shared(prefix: Path, _about: Path) -> Bundle:
    """The challenge of a round of gradient leakage, from its files."""
    weights, shared, known = (
        bundles.read(Path(f"{prefix}_{name}.npz"), None) for name in ("weights", "shared", "public")
    )
    return {
        "rules": np.array(Path(f"{prefix}_rules.json").read_text()),
        **{f"public_{name}": values for name, values in known.items()},
        **{f"weights/{name}": values for name, values in weights.items()},
        **{f"shared/{name}": values for name, values in shared.items()},
    }


PUBLIC = {"membership": model_and_candidates, "gradient_leakage": what_was_shared}


def see_the_board(visitor: Visitor, course: Course) -> None:
    visitor.open("/leaderboard/")
    expect(visitor.page.get_by_role("table", name="Standings").locator("tbody tr").first).to_be_visible()
    visitor.look(f"{course.slug}-board")
