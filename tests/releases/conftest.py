"""The previous release, built once for the tests of this folder."""

import pytest

from previous_release import NoSuchCommit, Release, build_previous_release


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Build the previous release's wheel from its commit, and install it."""
    try:
        return build_previous_release(tmp_path_factory.mktemp("previous"))
    except NoSuchCommit as error:
        pytest.skip(str(error))
