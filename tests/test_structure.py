"""The floors of the sources: a module imports from its own floor or from those below it."""

import ast

import pytest

from tests.support.paths import ROOT

# From the ground up; a module is on the floor of the longest prefix that it has.
FLOORS = [
    ["keras_pac.version", "custom_ops"],
    ["keras_pac.ops._geometry"],
    ["keras_pac.ops._implementations"],
    ["keras_pac.ops"],
    ["keras_pac.layers", "keras_pac.initializers"],
    ["keras_pac.models"],
    ["keras_pac.convert", "keras_pac.visualize"],
    ["keras_pac"],
    ["benchmarks", "examples"],
    ["custom_ops.harness", "custom_ops.build.wheel", "custom_ops.build.smoke"],
    ["custom_ops.build.release"],
]
LEVELS = {prefix: level for level, prefixes in enumerate(FLOORS) for prefix in prefixes}
FOLDERS = ("keras_pac", "benchmarks", "examples", "custom_ops")


def level_of(module):
    parts = module.split(".")
    prefixes = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
    return next((LEVELS[prefix] for prefix in prefixes if prefix in LEVELS), 0)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(p): p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))}


def imports_of(module):
    """The modules that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from package import submodule` imports the submodule.
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_upward(module):
    above = [name for name in imports_of(module) if level_of(name) > level_of(module)]
    assert not above, f"{module} imports {above}"


def test_there_is_no_import_circle():
    graph = {module: {n for n in imports_of(module) if n in MODULES} for module in MODULES}
    done = set()

    def visit(module, path):
        assert module not in path, f"import circle: {' -> '.join([*path, module])}"
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])
