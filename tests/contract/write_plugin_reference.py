"""Write the authors' reference and the snapshot of the plugin API again: `make reference`.

The snapshot of a version that a release has is left as it is where the contract only adds to it: a
test then says that the version must grow.
"""

from contract.plugin_api import breaks, published, snapshots, write_snapshot
from contract.plugin_reference import PAGE, page
from seqd.hookspecs import PLUGIN_API_VERSION

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    before = snapshots().get(PLUGIN_API_VERSION)
    if before is not None and (found := breaks(before, published())):
        raise SystemExit("The contract breaks plugins of its version:\n" + "\n".join(found))
    write_snapshot(PLUGIN_API_VERSION)
