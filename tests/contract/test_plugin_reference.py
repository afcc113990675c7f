"""The reference for authors is what the code makes, and has every name."""

import re

import pytest

from contract.plugin_reference import FOR_SERVICES, PAGE, page
from contract.public_names import names_of


def test_the_reference_is_what_the_code_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "Write it again: make reference"


@pytest.mark.parametrize("module", ["seqd.plugin", "seqd.hookspecs", "seqd.testing"])
def test_the_reference_has_every_public_name_with_a_text(module):
    text = page()
    entries = set(re.findall(r"^### (\w+)$", text, re.M))
    also = set(re.findall(r"`(\w+)`", re.findall(r"^Also here, .*$", text, re.M)[0]))

    names = {one.name for one in names_of(module)} - FOR_SERVICES - {"SeqdHooks"}
    silent = [one.name for one in names_of(module) if one.kind == "function" and not one.text]

    assert names - entries - also == set()
    assert silent == []


def test_no_name_that_is_for_services_is_gone():
    assert {one.name for one in names_of("seqd.testing")} >= FOR_SERVICES
