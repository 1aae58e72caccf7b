"""What a release relies on: one version, workflows that call make, links that lead somewhere."""

import re

import pytest
import yaml

import keras_pac
from custom_ops.build import release
from tests.support.makefile import TARGETS
from tests.support.paths import ROOT

WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
TEXTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "CHANGELOG.md",
    ".github/pull_request_template.md",
    "custom_ops/README.md",
)


def commands_of(workflow):
    """What the steps of a workflow run."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [step["run"].strip() for step in steps if "run" in step]


def test_the_newest_version_of_the_changelog_is_this_one():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert release.version_problems(changelog, keras_pac.__version__, []) == []


@pytest.mark.parametrize(
    ("heading", "tags", "problem"),
    [
        ("## [1.2.2] - 2026-01-01", [], "The newest in CHANGELOG.md is 1.2.2"),
        ("## [1.2.3] - 2026-01-01", ["v1.2.4"], "The tag is v1.2.4"),
        ("## [1.2.3] - unreleased", ["v1.2.3"], "CHANGELOG.md says 'unreleased'"),
        ("## [Unreleased]", [], "has no heading"),
        ("## [Unreleased]\n\n## [1.2.3] - 2026-01-01", ["v1.2.3"], None),
    ],
)
def test_a_version_that_does_not_fit_is_told(heading, tags, problem):
    problems = release.version_problems(f"# Changelog\n\n{heading}\n", "1.2.3", tags)
    assert len(problems) == (problem is not None)
    assert problem is None or problem in problems[0]


def test_links_that_only_work_in_the_repository_are_found():
    html = '<a href="https://x.org">x</a><a href="docs/a.md">a</a><img src="b.png"><a href="#c">'
    html += '<h2 id="d"><a href="#d">'
    assert release.broken_links(html) == ["docs/a.md", "b.png", "#c"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_only_make(name):
    commands = commands_of(WORKFLOWS[name])
    assert commands
    for command in commands:
        make, *targets = command.split()
        assert make == "make" and targets and set(targets) <= TARGETS, command


def test_the_workflow_checks_all_that_ci_checks():
    ci = (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^make (?:--jobs=2 )?(.*)$", ci, re.MULTILINE)
    wanted = {f"make {target}" for command in commands for target in command.split()}
    wanted.remove("make install-oldest")  # the beginning of `make test-oldest`
    assert len(wanted) >= 5 and wanted <= set(commands_of(WORKFLOWS["checks.yml"]))


def test_the_workflow_tests_every_python_that_the_readme_promises():
    oldest, newest = re.search(
        r"^\| Python \| 3\.(\d+) \| 3\.(\d+) \|",
        (ROOT / "docs" / "installation.md").read_text(),
        re.MULTILINE,
    ).groups()
    promised = [f"3.{minor}" for minor in range(int(oldest), int(newest) + 1)]
    assert WORKFLOWS["checks.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"] == promised


def test_only_a_tag_publishes_and_without_a_password():
    for name, workflow in WORKFLOWS.items():
        publishing = {
            job: content
            for job, content in workflow["jobs"].items()
            if any("pypi-publish" in step.get("uses", "") for step in content["steps"])
        }
        assert bool(publishing) == (name == "publish.yml")
        for content in publishing.values():
            assert content["permissions"] == {"id-token": "write"}
            assert content["needs"] == "release-check"
            assert not [step for step in content["steps"] if "password" in step.get("with", {})]
    assert WORKFLOWS["publish.yml"][True] == {"push": {"tags": ["v*"]}}  # YAML takes `on` for True


def anchors(text):
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("name", TEXTS)
def test_a_link_between_the_texts_leads_somewhere(name):
    text = (ROOT / name).read_text()
    for link in re.findall(r"\]\((?!https?:)([^)\s]*)\)", text):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
