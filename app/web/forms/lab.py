"""Running an experiment, and uploading a file for one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_wtf.file import FileField, FileRequired
from wtforms import Form as PlainForm
from wtforms import IntegerField, SelectField, ValidationError
from wtforms.fields import Field
from wtforms.fields.choices import SelectChoice
from wtforms.validators import NumberRange, Optional

from app.errors import InvalidParameters
from app.experiments.assets import KINDS, SUFFIXES
from app.experiments.base import Group, Input, Layout
from app.models import Asset, Status
from app.web.forms import Form
from app.web.forms.parameters import ParameterForm

SEE_BELOW = "Some values are not right; see below."


class AssetForm(Form):
    """A file of some kind."""

    kind = SelectField("Kind")
    file = FileField("File", [FileRequired("Choose a file first.")])

    def __init__(self, kinds: Sequence[str] = (), **kwargs: Any) -> None:
        """A form for files of these kinds, by default of all."""
        super().__init__(**kwargs)
        offered = kinds or tuple(KINDS)
        endings = [f"{kind.capitalize()}: {' or '.join(SUFFIXES[kind])}." for kind in offered]
        self.kind.choices = [SelectChoice(kind, kind.capitalize()) for kind in offered]
        self.kind.data = self.kind.data or offered[0]
        self.file.description = " ".join(endings) + " The same name again makes a new version."
        self.file.render_kw = {"accept": ",".join(suffix for kind in offered for suffix in SUFFIXES[kind])}

    def validate_file(self, field: FileField) -> None:
        """Refuse a file of another kind before anything is kept."""
        suffixes = SUFFIXES.get(self.kind.data, ())
        if field.data and not str(field.data.filename).lower().endswith(suffixes):
            raise ValidationError(f"The name of a {self.kind.data} has to end with {' or '.join(suffixes)}.")


class SeedForm(Form):
    """What a run has besides its files and parameters."""

    seed = IntegerField(
        "Seed",
        validators=[Optional(), NumberRange(min=0, max=(1 << 62) - 1)],
        description="The same seed gives the same result. Empty: a random one, which is kept and shown.",
    )


class FilesForm(PlainForm):
    """One choice among a person's files for each input of an experiment; it has no token of its own."""

    def chosen(self) -> dict[str, str]:
        """The keys of the chosen files, by the names of the inputs."""
        return {name: field.data for name, field in self._fields.items() if field.data}


def files_form(
    inputs: Sequence[Input], own: Sequence[Asset], data: Any = None, chosen: Mapping[str, str] | None = None
) -> FilesForm:
    """A form that offers one's own accepted files, newest first; without `chosen` keys it begins with the newest."""
    usable = {wanted.name: [one for one in own if _fits(one, wanted)] for wanted in inputs}
    newest = {
        wanted.name: usable[wanted.name][0].key for wanted in inputs if usable[wanted.name] and wanted.is_required
    }
    fields = {wanted.name: _choice(wanted, usable[wanted.name]) for wanted in inputs}
    made = type("GeneratedFilesForm", (FilesForm,), fields)
    instance: FilesForm = made(formdata=data, prefix="inputs", data={**newest, **(chosen or {})})
    return instance


def _fits(asset: Asset, wanted: Input) -> bool:
    return asset.kind == wanted.kind and asset.status is Status.ACCEPTED


def _choice(wanted: Input, usable: Sequence[Asset]) -> Field:
    none = f"Choose a {wanted.kind}" if wanted.is_required else "None"
    listed = [SelectChoice(asset.key, f"{asset.name}, version {asset.version}") for asset in usable]
    label = wanted.name.replace("_", " ").capitalize()
    return SelectField(label, choices=[SelectChoice("", none), *listed], default="", description=wanted.help)


@dataclass(frozen=True)
class Section:
    """Fields that stand together."""

    group: Group
    fields: tuple[Field, ...]

    @property
    def is_open(self) -> bool:
        """Whether it is unfolded: it is not for experts, or something in it is wrong."""
        return not self.group.is_folded or any(field.errors for field in self.fields)


@dataclass(frozen=True)
class RunForms:
    """The three parts of the form of an experiment."""

    base: SeedForm
    files: FilesForm
    parameters: ParameterForm
    layout: Layout

    def __post_init__(self) -> None:
        """Let the choices read as the experiment wants."""
        for name, titles in self.layout.titles.items():
            field = self.parameters[name]
            field.choices = [SelectChoice(one.value, titles.get(one.value, one.label)) for one in field.choices]

    def sections(self) -> Iterator[Section]:
        """The parameters by their groups; those of no group come last."""
        left = {field.short_name: field for field in self.parameters}
        for group in self.layout.groups:
            yield Section(group, tuple(left.pop(name) for name in group.names))
        if left:
            yield Section(
                Group("More settings" if self.layout.groups else "Settings", tuple(left)), tuple(left.values())
            )

    def succeed(self, act: Callable[[], Any]) -> bool:
        """Whether the form was sent, every part is valid and `act` took it; every problem stands at its field."""
        if not self.base.is_submitted():
            return False
        if not all([self.files.validate(), self.parameters.validate()]):
            self.base.validate()
            return self._complain()
        try:
            return self.base.succeeds(act)
        except InvalidParameters as error:
            self.parameters.blame(error)
            for name in error.problems.keys() & {field.short_name for field in self.files}:
                problem = error.problems[name]
                self.files[name].errors = [f"{problem[:1].upper()}{problem[1:]}."]
            return self._complain()

    def _complain(self) -> bool:
        self.base.form_errors.append(SEE_BELOW)
        self.base.status = 400
        return False
