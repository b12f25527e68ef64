"""The rules of the house that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py"))


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def containing(pattern, paths=SOURCES):
    return names(path for path in paths if re.search(pattern, path.read_text()))


class TestTransactions:
    def test_only_services_commit(self):
        assert [name for name in containing(r"\.commit\(\)") if not name.startswith("app/services/")] == []

    def test_pages_never_touch_the_database(self):
        pages = [*(ROOT / "app/web").rglob("*.py"), *(ROOT / "app/api").rglob("*.py")]

        assert containing(r"import db\b|extensions import .*\bdb\b|\.query\b", pages) == []


class TestErrors:
    def test_broad_excepts_stand_at_the_three_boundaries_only(self):
        """The task's, the page's (a registered handler, no except) and the sandbox child's."""
        found = []
        for path in SOURCES:
            for node in ast.walk(ast.parse(path.read_text())):
                is_broad = isinstance(node, ast.ExceptHandler) and (
                    node.type is None
                    or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
                )
                found += [str(path.relative_to(ROOT))] if is_broad else []

        assert sorted(found) == ["app/sandbox/child.py", "app/tasks/base.py"]


class TestUntrustedData:
    def test_nothing_unpickles_or_evaluates(self):
        pattern = (
            r"\bimport pickle|pickle\.loads?|PickleType|torch\.load\(|allow_pickle=True"
            r"|(?<![.\w])(?:eval|exec)\(|shell=True|yaml\.load"
        )

        assert containing(pattern) == []


class TestLanguage:
    @pytest.mark.parametrize("folder", ["app", "attack_defence_test_scripts", "tests"])
    def test_defence_is_written_the_british_way(self, folder):
        sources = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".html", ".md", ".sh"}]
        # Titles of papers keep their own spelling.
        ours = [path for path in sources if path != Path(__file__).resolve()]
        lines = [
            line for path in ours for line in path.read_text().splitlines() if re.search(r"\b[Dd]efenses?\b", line)
        ]

        assert [line for line in lines if not re.search(r"\b(19|20)\d\d\b|title|[\"“]", line)] == []


class TestSettings:
    def test_the_readme_documents_exactly_the_settings_that_exist(self):
        config = (ROOT / "config.py").read_text()
        read = set(re.findall(r"(?:text|whole|number|flag)\(\s*[\"']([A-Z0-9_]+)[\"']", config))
        table = (ROOT / "README.md").read_text().split("## Settings")[1].split("\n## ")[0]
        documented = set(re.findall(r"^\| `([A-Z0-9_]+)`", table, re.MULTILINE))

        assert documented == read

    def test_only_the_configuration_reads_the_environment(self):
        # They pass on to their children what these need; no setting is read there.
        allowed = {"app/sandbox/fork_server.py", "app/supervisor.py", "app/launcher/__main__.py"}

        assert set(containing(r"os\.environ|os\.getenv")) <= allowed


class TestDependencies:
    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_every_dependency_is_pinned_and_named_in_the_readme(self, name):
        readme = (ROOT / "README.md").read_text().lower()
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-"))]

        assert lines
        for line in lines:
            package, _, version = line.partition("==")
            assert version, f"{line} is not pinned"
            assert f"`{package.split('[')[0].lower()}`" in readme, f"{package} is not explained in the README"
