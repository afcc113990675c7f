"""What tests import of the product: what users import, and one module of a package that is inside.

The inside is rebuilt more easily the fewer tests know it.
"""

import ast

from readme_blocks import ROOT

#: What users import.
PUBLIC = {
    "seqd", "seqd.batch", "seqd.client", "seqd.errors", "seqd.hookspecs", "seqd.plugin",
    "seqd.settings", "seqd.testing", "seqd_schemas",
}  # fmt: skip

#: The one module of a package that tests may import beside them.
SEAMS = {
    "analysis": "seqd.analysis.measures",
    "cli": "seqd.cli.app",
    "gateway": "seqd.gateway.app",
    "inputs": "seqd.inputs.datasets",
    "ledger": "seqd.ledger",
    "local": "seqd.local.slots",
    "models": "seqd.models.store",
    "worker": "seqd.worker.context",
}

#: Files that import more. Each that is rewritten without takes one away; none is added.
FILES_THAT_IMPORT_MORE = 268


def is_inside(module: str) -> bool:
    """Return True for a module of the product that is neither public nor a seam."""
    package, _, rest = module.partition(".")
    if package == "seqd":
        return module not in PUBLIC and module not in SEAMS.values()
    return package in PLUGINS and bool(rest)


def modules_of(nodes):
    """Yield the modules that a file imports."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


PLUGINS = {path.name for path in (ROOT / "plugins").glob("seqd_*") if path.is_dir()}


def test_no_more_files_of_tests_know_the_inside_than_did(sources_of_tests):
    files = [
        source.path.relative_to(ROOT)
        for source in sources_of_tests
        if any(is_inside(module) for module in modules_of(source.nodes))
    ]

    assert len(files) <= FILES_THAT_IMPORT_MORE, "\n".join(map(str, files))
