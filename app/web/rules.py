"""How a track is played: its rules page, the settings of the round and the house's adversaries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape
from werkzeug.wrappers import Response

from app import tracks
from app.errors import NotFound
from app.models import Round
from app.parameters import Parameter, describe
from app.rules.settings import RoundRules
from app.services import references, rounds
from app.web.context import current_round

blueprint = Blueprint("rules", __name__, url_prefix="/rules")


def _renderer() -> MarkdownIt:
    """Markdown with tables and without raw HTML; what may be wider than a phone scrolls and can be focused."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _table)
    markdown.add_render_rule("table_close", lambda self, tokens, index, options, env: "</table></div>")
    markdown.add_render_rule("fence", _fence)
    return markdown


def _table(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    number = env["tables"] = env.get("tables", 0) + 1
    return f'<div class="table-frame" tabindex="0" role="region" aria-label="Table {number}"><table class="table">'


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'<pre class="panel" tabindex="0"><code>{escape(tokens[index].content)}</code></pre>'


_markdown = _renderer()


@blueprint.get("/")
def show() -> str | Response:
    """All tracks, or the only one."""
    if len(tracks.CARDS) == 1:
        return redirect(url_for("rules.track", slug=tracks.CARDS[0].slug))
    return render_template("rules/index.html", cards=tracks.CARDS)


@blueprint.get("/<slug>")
def track(slug: str) -> str:
    """The rules of one track, with the settings of a round that plays it."""
    if slug not in {card.slug for card in tracks.CARDS}:
        raise NotFound("There is no such track.")
    card, row = tracks.card(slug), _round(slug)
    return render_template(
        "rules/track.html",
        card=card,
        row=row,
        text=_text(slug),
        settings=_settings(row) if row else [],
        adversaries=references.cards(slug, row),
        cards=tracks.CARDS,
    )


def _round(slug: str) -> Round | None:
    """The round that is asked for, else the current or the newest one that plays this track."""
    number = request.args.get("round", type=int)
    here = current_round()
    candidates = [row for row in ([here] if here else []) + rounds.everyone() if row.track == slug]
    return next((row for row in candidates if number is None or row.number == number), None)


def _text(slug: str) -> Markup:
    source = Path(tracks.__file__).parent / slug / "README.md"
    # Its own first heading is the title of the page.
    return Markup(_markdown.render(source.read_text(encoding="utf-8").partition("\n")[2]))  # noqa: S704


def _settings(row: Round) -> list[tuple[str, list[tuple[Parameter, object]]]]:
    """Heading, and each parameter with the round's value."""
    groups: list[tuple[str, type, Mapping[str, Any]]] = [
        ("The track", type(rounds.track(row).settings), row.track_settings),
        ("The round", RoundRules, row.rules),
    ]
    return [
        (title, [(parameter, stored.get(parameter.name, parameter.default)) for parameter in describe(settings)])
        for title, settings, stored in groups
    ]
