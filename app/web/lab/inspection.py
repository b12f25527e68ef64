"""A closer look at what a job has left, one place of its axes at a time."""

from flask import render_template, request

from app.services import inspections
from app.web import charts
from app.web.lab import blueprint, card_of
from app.web.lab.jobs import one


@blueprint.get("/jobs/<key>/inspect")
def inspect(key: str) -> str:
    """The wanted sample, size, … of the address, or the default ones."""
    row = one(key)
    wanted = {name: place for name in request.args if (place := request.args.get(name, type=int)) is not None}
    look = inspections.look(row, wanted)
    return render_template(
        "lab/inspect.html",
        job=row,
        card=card_of(row),
        axes=list(zip(look.axes, look.place, strict=True)),
        drawings=[charts.draw(figure) for figure in look.figures],
    )
