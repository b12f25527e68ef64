from dataclasses import dataclass

import pytest

from app.errors import InvalidParameters
from app.parameters import as_json, describe, parameter, parse


@dataclass(frozen=True)
class Walk:
    steps: int = parameter(10, "How many steps.", minimum=1, maximum=100, unit="steps")
    speed: float = parameter(1.5, "How fast.", minimum=0)
    pace: str = parameter("slow", "Which pace.", choices=("slow", "quick"))
    loud: bool = parameter(False, "Whether it is heard.")
    derived: int = 3


class TestDescribe:
    def test_lists_the_declared_fields_in_order_with_their_bounds(self):
        steps, *others = describe(Walk)

        assert (steps.name, steps.type, steps.default, steps.minimum, steps.maximum) == ("steps", int, 10, 1, 100)
        assert [each.name for each in others] == ["speed", "pace", "loud"]


class TestParse:
    def test_takes_the_default_of_what_is_missing(self):
        assert parse(Walk, {}) == Walk()

    def test_reads_the_texts_of_a_form(self):
        walk = parse(Walk, {"steps": "7", "speed": "0.5", "pace": "quick", "loud": "on"})

        assert walk == Walk(7, 0.5, "quick", True)

    def test_reports_every_problem_at_once(self):
        with pytest.raises(InvalidParameters) as caught:
            parse(Walk, {"steps": "0", "speed": "nan", "pace": "running", "other": 1})

        assert caught.value.problems == {
            "steps": "must lie between 1 and 100",
            "speed": "must be finite",
            "pace": "must be one of slow, quick",
            "other": "is not a setting",
        }

    @pytest.mark.parametrize("value", ["", "ten", "1.5", None, [], "1e999", 10**400])
    def test_refuses_what_is_no_whole_number(self, value):
        with pytest.raises(InvalidParameters, match="steps: must be a whole number"):
            parse(Walk, {"steps": value})

    def test_a_bound_that_is_missing_is_not_named(self):
        with pytest.raises(InvalidParameters, match="speed: must be at least 0"):
            parse(Walk, {"speed": -1})

    def test_reads_back_what_as_json_wrote(self):
        walk = Walk(7, 0.5, "quick", True)

        assert parse(Walk, as_json(walk)) == walk
