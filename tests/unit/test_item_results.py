"""A result says whether there is an output, and gives it or raises its error."""

import pytest

from seqd.errors import ItemFailed, SeqdError, failure_of
from seqd_schemas import Classification, ItemError, ItemErrorCode, ItemFailure
from seqd_schemas import ItemSuccess as Success

POSITIVE = Classification(label="positive", score=0.9, truncated=False)
TOO_LONG = ItemError(code=ItemErrorCode.TOO_LONG, message="1 MB; allowed: 4 KB.", retryable=False)


def test_a_success_is_ok_and_gives_its_output():
    result = Success(custom_id="r1", output=POSITIVE)

    assert result.ok is True
    assert result.unwrap() is POSITIVE


@pytest.mark.parametrize("output_of", [ItemFailure.unwrap, lambda result: result.output])
def test_a_failure_is_not_ok_and_raises_its_error_with_the_items_code(output_of):
    result = ItemFailure(custom_id="r2", error=TOO_LONG)

    with pytest.raises(SeqdError) as raised:
        output_of(result)

    assert result.ok is False
    assert isinstance(raised.value, ItemFailed)
    assert (raised.value.custom_id, raised.value.code) == ("r2", "too_long")
    assert str(raised.value) == "Item 'r2' has no output: 1 MB; allowed: 4 KB."
    assert failure_of(raised.value).code == "too_long"
