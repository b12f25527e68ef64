"""Figures become geometry that stays inside its panel, and pages without styles of their own."""

import math
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import numpy as np
import pytest
from PIL import Image

from app.tracks.base import Figure
from app.web import charts
from app.web.charts import scales
from app.web.charts.labels import place_labels

TEMPLATES = Path(__file__).resolve().parents[2] / "app" / "templates"

BARS = Figure(
    "bars", "Leakage", "Adversary", "Leakage", {"labels": ["Blind", "<b>RF</b>", "DF"], "values": [0.1, None, 0.9]}
)
WHISKERS = Figure("bars", "T", "x", "y", {"labels": ["A"], "values": [0.5], "low": [0.4], "high": [0.7]})
LINES = Figure(
    "lines", "Curve", "ε", "Accuracy", {"x": [0, 1, 2], "y": [[1, 0.5, 0.1], [0.9, None, 0.8]], "series": ["a", "b"]}
)
ROC = Figure(
    "lines", "ROC", "FPR", "TPR",
    {"x": [[0.0, 1e-3, 1.0]], "y": [[0.0, 0.2, 1.0]], "series": ["LiRA"], "log_x": True, "log_y": True},
)  # fmt: skip
SMALL = Figure("heatmap", "H", "p", "t", {"values": [[0, 1], [0.5, 0.25]], "rows": ["a", "b"], "columns": ["c", "d"]})
IMAGES = Figure("images", "I", "", "", {"images": [[[0, 1], [1, 0]]], "captions": ["Batch 1"]})
TEAMS = [charts.Point(f"Team {index}", 0.5 + index / 500, 0.5, 0.4, 0.6, mine=index == 3) for index in range(12)]
PLANE = charts.plane(TEAMS, [(0.5, 0.6), (0.7, 0.4)], [charts.Point("No defence", 0.05, 1.0)])
HISTORY = charts.history({"Otters": [0.1, None, 0.4]}, ["Round 1", "Round 2", "Round 3"])

DRAWINGS = {
    "bars": charts.draw(BARS), "whiskers": charts.draw(WHISKERS), "lines": charts.draw(LINES), "log": charts.draw(ROC),
    "heatmap": charts.draw(SMALL), "images": charts.draw(IMAGES), "plane": PLANE, "history": HISTORY,
}  # fmt: skip


def marks(drawing, tag, panel=0):
    return [mark for mark in drawing.panels[panel][1].marks if mark.tag == tag]


def texts(drawing, panel=0):
    return [mark.text for mark in marks(drawing, "text", panel)]


def confusion(size):
    names = [f"cell {index}" for index in range(size)]
    values = (np.eye(size) * 0.9 + 0.001).tolist()
    values[3][5] = 0.4
    return Figure("heatmap", "Confusion", "Predicted", "True", {"values": values, "rows": names, "columns": names})


@pytest.fixture(scope="module")
def render():
    loader = jinja2.FileSystemLoader(TEMPLATES)
    macro = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "macros/figures.html"
    )
    return lambda drawing: str(macro.module.chart(drawing, "here"))


class TestScales:
    def test_ticks_are_round_numbers_that_enclose_the_values(self):
        assert scales.linear([0.13, 0.87], 0, 100).ticks == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

    def test_equal_values_still_have_a_scale(self):
        scale = scales.linear([3.0, 3.0], 0, 100)
        assert 0 < scale(3.0) < 100

    def test_no_values_still_have_a_scale(self):
        assert scales.linear([None, math.nan], 0, 100).ticks[0] == 0.0

    def test_a_logarithmic_scale_goes_through_powers_of_ten(self):
        scale = scales.logarithmic([0.002, 0.0, 40.0], 0, 100)
        assert (scale.low, scale.high) == pytest.approx((1e-3, 1e2))
        assert not scale.shows(0.0)

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (0.25, "0.25"), (-3, "−3"), (1e-6, "10⁻⁶"), (2.5e7, "2.5·10⁷"), (12345, "12,345"), (None, "–")],
    )
    def test_numbers_are_written_for_readers(self, value, text):
        assert scales.number(value) == text


class TestDraw:
    def test_it_refuses_a_kind_that_no_one_knows(self):
        with pytest.raises(ValueError, match="unknown kind of figure: pie"):
            charts.draw(Figure("pie", "", "", "", {}))

    @pytest.mark.parametrize("name", DRAWINGS)
    def test_every_mark_lies_inside_its_panel(self, name):
        for _, panel in DRAWINGS[name].panels:
            for mark in panel.marks:
                places = [getattr(mark, key) for key in ("x", "x1", "x2") if hasattr(mark, key)]
                heights = [getattr(mark, key) for key in ("y", "y1", "y2") if hasattr(mark, key)]
                assert all(0 <= place <= panel.width for place in places)
                assert all(0 <= height <= panel.height for height in heights)


class TestBars:
    def test_a_missing_value_is_said_rather_than_drawn(self):
        assert len(marks(DRAWINGS["bars"], "rect")) == 2
        assert "not measured" in texts(DRAWINGS["bars"])

    def test_the_axis_below_bears_the_name_of_the_values(self):
        drawing = charts.draw(Figure("bars", "T", "Class", "Share right", {"labels": ["A"], "values": [0.5]}))
        assert "Share right" in texts(drawing)
        assert "Class" not in texts(drawing)
        assert drawing.table.columns == ("Class", "Share right")

    def test_lengths_are_proportional(self):
        short, long = marks(DRAWINGS["bars"], "rect")
        assert long.width == pytest.approx(9 * short.width)

    def test_intervals_are_whiskers_and_columns_of_the_table(self):
        assert sum(mark.css == "bar-whisker" for mark in marks(DRAWINGS["whiskers"], "line")) == 3
        assert DRAWINGS["whiskers"].table.rows == (("A", "0.5", "0.4", "0.7"),)

    def test_long_names_are_cut_on_a_phone(self):
        figure = Figure("bars", "T", "x", "y", {"labels": ["adversary " * 20], "values": [1.0]})
        assert texts(charts.draw(figure))[-2].endswith("…")


class TestLines:
    def test_a_gap_breaks_the_line(self):
        second = next(mark for mark in marks(DRAWINGS["lines"], "path") if mark.css == "line s1")
        assert second.d.count("M") == 2

    def test_points_without_a_place_on_a_log_axis_are_left_out(self):
        line = next(mark for mark in marks(DRAWINGS["log"], "path") if mark.css.startswith("line"))
        assert line.d.count("M") + line.d.count("L") == 2

    def test_long_series_have_no_markers_and_a_thinned_table(self):
        x = list(range(5000))
        drawing = charts.draw(Figure("lines", "T", "x", "y", {"x": x, "y": [x], "series": ["a"]}))
        assert len(marks(drawing, "path")) == 1
        assert len(drawing.table.rows) <= 200
        assert drawing.table.note == "Every 25th of 5,000 points."

    def test_steps_keep_their_names_in_the_table(self):
        assert HISTORY.table.rows[1] == ("Round 2", "–")


class TestPlane:
    def test_labels_do_not_cover_each_other(self):
        points = [(100.0 + index, 100.0) for index in range(14)]
        places = [place.middle for place in place_labels(points, [40.0] * 14, [], (0, 0, 400, 300))]
        apart = [
            abs(a[0] - b[0]) >= 40 or abs(a[1] - b[1]) >= 14 for index, a in enumerate(places) for b in places[:index]
        ]
        assert all(apart)

    def test_a_distant_label_is_tied_to_its_point(self):
        wall = [(-50.0, -50.0, 50.0, 50.0)]
        assert place_labels([(0.0, 0.0)], [20.0], wall, (-200, -200, 200, 200))[0].leader is not None

    def test_baselines_are_hollow_and_the_own_team_is_marked(self):
        styles = [mark.css for mark in marks(PLANE, "path")]
        assert styles.count("dot s7 hollow") == 1
        assert styles.count("dot s1") == 1
        assert styles.count("dot s0") == 11

    def test_the_front_is_a_staircase(self):
        front = next(mark for mark in marks(PLANE, "path") if mark.css == "front")
        assert front.d.count("L") == 4

    def test_an_empty_plane_is_drawn(self):
        assert "0 teams" in charts.plane([]).description


class TestRaster:
    def test_the_palette_runs_from_violet_to_yellow_and_missing_is_grey(self):
        picture = Image.open(BytesIO(charts.heatmap_png(np.array([[0.0, 1.0, np.nan]]))))
        width = picture.width // 3
        colours = [picture.getpixel((index * width, 0)) for index in range(3)]
        assert colours == [(68, 1, 84), (253, 231, 37), (128, 128, 128)]

    def test_a_large_heatmap_stays_one_pixel_per_value(self):
        assert Image.open(BytesIO(charts.heatmap_png(np.zeros((150, 140))))).size == (140, 150)

    @pytest.mark.parametrize("shape", [(8, 8), (28, 28, 3)])
    def test_images_are_grey_or_coloured(self, shape):
        picture = Image.open(BytesIO(charts.image_png(np.full(shape, 2.0))))
        assert picture.mode == ("L" if len(shape) == 2 else "RGB")
        assert picture.getextrema() in [(255, 255), ((255, 255),) * 3]

    def test_the_table_of_a_large_confusion_lists_its_worst_mistakes(self):
        drawing = charts.draw(confusion(100))
        assert drawing.table.rows[0] == ("cell 3", "cell 5", "0.4")
        assert len(drawing.table.rows) == 20

    def test_tick_labels_of_a_large_heatmap_are_thinned(self):
        assert 5 < len(texts(charts.draw(confusion(100)))) < 40


class TestMacro:
    @pytest.mark.parametrize("name", DRAWINGS)
    def test_it_is_well_formed_and_needs_no_style(self, render, name):
        html = render(DRAWINGS[name])
        ElementTree.fromstring(html.replace("&nbsp;", " "))
        assert "style=" not in html

    @pytest.mark.parametrize("name", sorted(set(DRAWINGS) - {"images"}))
    def test_it_has_a_name_a_description_and_a_table(self, render, name):
        html = render(DRAWINGS[name])
        assert html.count('role="img"') == 2
        assert html.count("<desc id=") == 2
        assert "Show as table" in html

    def test_names_are_escaped(self, render):
        assert "<b>RF" not in render(DRAWINGS["bars"])
