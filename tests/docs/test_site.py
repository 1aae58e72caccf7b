"""The site, as `make docs` builds it: no warning, every name, every link leads somewhere.

The build runs the guides. What they printed is kept in build/docs-cache, as by `make docs`.
"""

import html.parser
import subprocess
import sys
import urllib.parse

import pytest
from sphinx.util.inventory import InventoryFile

import keras_pac
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow
MODULES = (
    keras_pac,
    keras_pac.convert,
    keras_pac.layers,
    keras_pac.models,
    keras_pac.ops,
    keras_pac.visualize,
)
NAMES = {name for module in MODULES for name in module.__all__ if callable(getattr(module, name))}
NAMES.add("BilinearUpsampling")  # of initializers, a module without __all__


class Page(html.parser.HTMLParser):
    """The anchors of a page, and what it links to and loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loads = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        loaded = attributes.get("src") or (tag == "link" and attributes.get("href"))
        if loaded:
            self.loads.append(loaded)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q"]
    result = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-5000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def target_of(page, link):
    """(page, anchor) that a link leads to, or None for another site."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = urllib.parse.urljoin(page, urllib.parse.unquote(parts.path)) if parts.path else page
    return path, parts.fragment


def test_every_link_leads_to_a_page_and_a_place_on_it(site, pages):
    lost = []
    for name, page in pages.items():
        for link in page.links + page.loads:
            target = target_of(name, link)
            if target is None:
                continue
            path, anchor = target
            known = pages.get(path)
            if known is None and not (site / path).is_file():
                lost.append(f"{name}: {link}")
            elif known is not None and anchor and anchor not in known.anchors:
                lost.append(f"{name}: {link}")
    assert not lost, lost


def test_nothing_is_loaded_from_another_server(pages):
    others = {load for page in pages.values() for load in page.loads if target_of("", load) is None}
    assert {load for load in others if not load.startswith("data:")} == set()


def test_every_public_name_is_in_the_reference(site):
    data = (site / "objects.inv").read_bytes()
    inventory = InventoryFile.loads(data, uri="").data
    described = {name for kind in ("py:class", "py:function") for name in inventory.get(kind, {})}
    assert NAMES <= {name.rpartition(".")[2] for name in described}


def test_every_page_can_be_found_by_the_search(site, pages):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for name in pages:
        page = name.removesuffix(".html")
        if page in ("genindex", "search") or page.startswith("_modules"):
            continue
        assert f'"{page}"' in index, page
