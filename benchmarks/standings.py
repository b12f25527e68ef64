"""The leaderboard of 400 teams with 3 matches each and 5 attacks a match: queries and seconds, side by side.

`predecessor` asks the database team by team and match by match, as the specification of the first platform describes it
(six queries a team and more), on the same tables. Run: python -m benchmarks.standings [--teams 400]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from flask import Flask
from sqlalchemy import event, insert

from app import database, services
from app.extensions import db
from app.models import Attack, Defence, Match, ReferenceResult, Round, Team, Upload, UploadKind, now
from app.rules.scoring import REPLICATES
from app.services import leaderboard, rounds
from config import TestingConfig

MATCHES, ATTACKS, ADVERSARIES = 3, 5, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, nargs="+", default=[100, 200, 400, 800])
    print(f"{'teams':>6} {'way':<14} {'queries':>8} {'seconds':>9} {'ratio':>8}")
    for teams in parser.parse_args().teams:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), teams)


def measure(folder: Path, teams: int) -> None:
    app = Flask("benchmark")
    app.config.from_object(TestingConfig)
    app.config.update(SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/app.db")
    database.init_app(app)
    services.init_app(app)
    with app.app_context():
        db.create_all()
        populate(teams)
        row = rounds.by_number(1)
        base = timed(lambda: predecessor(row))
        ours = timed(lambda: leaderboard.compute(row))
        app.config["LEADERBOARD_CACHE_TIME"] = 60
        leaderboard.board(row)
        cached = timed(lambda: leaderboard.board(row))
    for name, (queries, seconds) in {"predecessor's": base, "ours": ours, "ours, cached": cached}.items():
        print(f"{teams:>6} {name:<14} {queries:>8} {seconds:>9.5f} {base[1] / seconds:>7.0f}x")


def timed(function) -> tuple[int, float]:
    """Queries of one call, and the best of three times."""
    queries, best = 0, float("inf")
    for _ in range(3):
        db.session.expire_all()
        statements: list[str] = []
        listen = lambda *arguments, statements=statements: statements.append(arguments[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
        event.remove(db.engine, "before_cursor_execute", listen)
        queries = len(statements)
    return queries, best


def predecessor(row: Round) -> list[tuple[str, float]]:
    """One query after another, as the first platform's models asked."""
    lines = []
    for team in db.session.scalars(db.select(Team)):
        defence = db.session.scalars(
            db.select(Defence).where(Defence.team_id == team.id, Defence.round_id == row.id).order_by(Defence.id.desc())
        ).first()
        found = db.session.scalars(db.select(Match).where(Match.attacker_id == team.id, Match.round_id == row.id)).all()
        results = []
        for match in found:
            attack = db.session.scalars(
                db.select(Attack).where(Attack.match_id == match.id).order_by(Attack.id.desc())
            ).first()
            results.append(attack.classic if attack else 1.0)
        lines.append((team.name, (defence.classic if defence else 0.0) * float(np.mean(results or [1.0]))))
    return sorted(lines, key=lambda line: -line[1])


def populate(teams: int) -> None:
    rng = np.random.default_rng(0)
    row = rounds.create(None, "fingerprinting", seed=1)
    row.matched_at = now()
    ids = range(1, teams + 1)
    db.session.execute(insert(Team), [{"id": i, "name": f"team {i}"} for i in ids])
    upload = {"round_id": row.id, "filename": "x", "digest": "0" * 64, "size": 1, "status": "accepted", "reasons": []}
    db.session.execute(insert(Upload), [{**upload, "id": i, "kind": UploadKind.DEFENCE, "team_id": i} for i in ids])
    halves = {"public": "0" * 64, "secret": "0" * 64, "download": "0" * 64, "metrics": {}, "figures": [], "seed": 1}
    utility = rng.uniform(0.2, 0.9, teams)
    db.session.execute(
        insert(Defence),
        [
            {"id": i, "upload_id": i, "team_id": i, "round_id": row.id, "utility": u, "classic": 10 * u, **halves}
            for i, u in zip(ids, utility.tolist(), strict=True)
        ],
    )
    matches = [(i, (i + step - 1) % teams + 1) for i in ids for step in range(1, MATCHES + 1)]
    db.session.execute(
        insert(Match),
        [
            {"id": n, "round_id": row.id, "attacker_id": a, "defender_id": d, "defence_id": d}
            for n, (a, d) in enumerate(matches, 1)
        ],
    )
    uploads = [(teams + n, 1 + n % teams) for n in range(1, teams * ATTACKS + 1)]
    db.session.execute(
        insert(Upload), [{**upload, "id": n, "kind": UploadKind.ATTACK, "team_id": team} for n, team in uploads]
    )
    by_attacker = {a: [n for n, (one, _) in enumerate(matches, 1) if one == a] for a in ids}
    db.session.execute(
        insert(Attack),
        [{"upload_id": n, "match_id": m, **scored(rng)} for n, team in uploads for m in by_attacker[team]],
    )
    db.session.execute(
        insert(ReferenceResult),
        [
            {
                "defence_id": i,
                "adversary": f"adversary {a}",
                "status": "accepted",
                **{k: v for k, v in scored(rng).items() if k != "classic"},
            }
            for i in ids
            for a in range(ADVERSARIES)
        ],
    )
    db.session.commit()


def scored(rng: np.random.Generator) -> dict:
    leakage = float(rng.uniform(0, 1))
    replicates = (leakage + rng.normal(0, 0.02, REPLICATES)).astype("<f4").tobytes()
    return {"leakage": leakage, "classic": 5 + 5 * leakage, "metrics": {}, "replicates": replicates}


if __name__ == "__main__":
    main()
