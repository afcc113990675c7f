"""The reference for authors is what the code makes."""

from contract.plugin_reference import FOR_SERVICES, PAGE, page
from contract.public_names import names_of


def test_the_reference_is_what_the_code_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "Write it again: make reference"


def test_no_name_that_is_for_services_is_gone():
    assert {one.name for one in names_of("seqd.testing")} >= FOR_SERVICES
