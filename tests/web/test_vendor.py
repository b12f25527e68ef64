"""The vendored files are the ones that were released, and name no registry."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "app" / "static" / "vendor"
AXE = ROOT / "tests" / "web" / "axe"
MAINTAINERS = {"SHA256SUMS", "package.json", "package-lock.json", "update.sh"}


def sums(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def files(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return names - MAINTAINERS


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=["static", "axe"])
class TestSums:
    def test_every_file_has_a_sum(self, folder):
        assert files(folder) == set(sums(folder))

    def test_every_sum_is_right(self, folder):
        found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sums(folder)}
        assert found == sums(folder)

    def test_every_package_carries_its_licence(self, folder):
        packages = {(folder / name).parent for name in sums(folder)}
        assert all((package / "LICENSE").is_file() for package in packages)


class TestVersions:
    def test_the_folders_are_named_after_the_locked_versions(self):
        packages = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
        for folder, package in {"bootstrap": "bootstrap", "htmx": "htmx.org"}.items():
            assert (VENDOR / f"{folder}-{packages[f'node_modules/{package}']['version']}").is_dir()

    def test_the_wanted_versions_are_exact(self):
        wanted = json.loads((VENDOR / "package.json").read_text())
        versions = {**wanted["dependencies"], **wanted["devDependencies"]}.values()
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)

    def test_the_lock_file_names_no_registry(self):
        assert "resolved" not in (VENDOR / "package-lock.json").read_text()

    def test_the_base_template_uses_files_that_are_there(self):
        base = (ROOT / "app" / "templates" / "base.html").read_text()
        names = re.findall(r"filename='([^']+)'", base)
        assert len(names) >= 6
        assert all((ROOT / "app" / "static" / name).is_file() for name in names)


class TestContentSecurityPolicy:
    def test_no_page_has_inline_styles_scripts_or_handlers(self):
        templates = ROOT / "app" / "templates"
        # Mail programs know no style sheets; their pages are shown in a frame with a policy of its own.
        for path in set(templates.rglob("*.*")) - set((templates / "mail").rglob("*.*")):
            text = path.read_text()
            assert not re.search(r"\sstyle=|<style|<script(?![^>]*\bsrc=)|\son[a-z]+=|javascript:", text), path
