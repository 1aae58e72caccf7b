"""Files that hosting sites read: the citation, the forms for issues, the list of a pull request."""

import re

import pytest
import yaml

import keras_pac
from tests.support.makefile import TARGETS
from tests.support.paths import ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
FORMS = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
}
LICENCES = {"Apache-2.0": "Apache License"}


def test_the_citation_has_what_its_format_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CITATION) and CITATION["type"] == "software"
    for authored in (CITATION, *CITATION["references"]):
        assert authored["authors"] and authored["title"] and authored["type"]
        for author in authored["authors"]:
            # An entity has a name, a person the parts of one.
            assert set(author) in ({"name"}, {"given-names", "family-names"})


def test_the_citation_is_of_this_version():
    assert CITATION["title"] == keras_pac.__name__
    assert CITATION["version"] == keras_pac.__version__
    assert LICENCES[CITATION["license"]] in (ROOT / "LICENSE").read_text()
    assert f'license = "{CITATION["license"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_citation_names_the_paper_as_the_readme_does():
    (paper,) = CITATION["references"]
    names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"{', '.join(names)}: *{paper['title']}*, CVPR {paper['year']}" in readme
    assert paper["url"] in readme


def test_there_are_forms():
    assert FORMS


@pytest.mark.parametrize("name", FORMS)
def test_a_form_has_what_github_requires(name):
    form = FORMS[name]
    assert all(isinstance(form[key], str) and form[key] for key in ("name", "description"))
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "body"}
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert questions
    for item in form["body"]:
        assert item["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert set(item) <= {"type", "id", "attributes", "validations"}
        if item["type"] == "markdown":
            assert item["attributes"]["value"]
    for item in questions:
        assert item["attributes"]["label"]
        assert bool(item["attributes"].get("options")) == (
            item["type"] in ("dropdown", "checkboxes")
        )
    for values in (
        [item["id"] for item in questions],
        [q["attributes"]["label"] for q in questions],
    ):
        assert len(values) == len(set(values))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", item["id"]) for item in questions)


def test_a_bug_report_asks_for_the_installation():
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text()
    assert "python -m keras_pac.info" in text


@pytest.mark.parametrize("name", [".github/pull_request_template.md", "CODE_OF_CONDUCT.md"])
def test_what_a_text_names_exists(name):
    """GitHub shows the template in a pull request, where a relative link leads nowhere."""
    text = (ROOT / name).read_text()
    for path in re.findall(r"[\w/.-]+\.md\b", text):
        assert (ROOT / path).exists(), path
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= TARGETS
