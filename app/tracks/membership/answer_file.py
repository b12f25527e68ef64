"""Reads and writes the answer that an attacker uploads: a zip of one csv with a score for every candidate."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.bundles import Bundle
from app.csv_tables import SHOWN
from app.errors import InvalidUpload, Reason
from app.tracks import answer_tables
from app.tracks.answer_tables import Form

SCORE = "membership_score"
FORM = Form("team_id", "record_id", (SCORE,), "this team's candidates")


def read(upload: Path, publics: Mapping[int, Bundle]) -> dict[int, Bundle]:
    """The answers by team id: record_id int64[n] as in that team's challenge, membership_score float64[n].

    Raises InvalidUpload with every reason at once.
    """
    asked = {team: public["record_id"] for team, public in publics.items()}
    table = FORM.read(upload, asked)
    reasons, scores = list(table.faults), table.columns[SCORE]
    if table.is_telling or not reasons:
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            where = answer_tables.place(table, bad, [f"{value}" for value in scores[bad[:SHOWN]]])
            fix = "Replace NaN and infinity; any finite scale will do, only the order counts."
            reasons.append(Reason(f"Every {SCORE} is a finite number.", where, fix, len(bad)))
        reasons += FORM.complaints(table, asked)
    if reasons:
        raise InvalidUpload(reasons)
    return {
        team: {"record_id": wanted, SCORE: scores[FORM.rows(table, team, wanted)]} for team, wanted in asked.items()
    }


def write(answers: Mapping[int, Bundle], path: Path) -> None:
    """Write answers (team id -> answer) as csv.zip, with as many digits as bring back the same numbers."""
    with answer_tables.written(path) as sink:
        sink.write((",".join(FORM.columns) + "\n").encode())
        for team, answer in answers.items():
            rows = zip(answer["record_id"].tolist(), answer[SCORE].tolist(), strict=True)
            sink.write("".join(f"{team},{item},{score!r}\n" for item, score in rows).encode())
