"""A chart in text: its lines, axis and names to the character."""

from hypothesis import given
from hypothesis import strategies as st

from seqd.cli.ui.charts import Axis, Line, line_chart

AXIS = Axis("epoch", "1", "3")
TRAINING = Line("training", ((1, 4.0), (2, 2.0), (3, 1.0)), "blue")

finite = st.floats(-1e6, 1e6, allow_nan=False)


def drawn(*lines: Line, width: int = 44, rows: int = 4) -> list[str]:
    chart = line_chart(lines, AXIS, width=width, rows=rows, title="loss")
    return [line.plain for line in chart]


def test_a_line_goes_from_its_first_value_to_its_last_which_stands_at_its_end():
    assert drawn(TRAINING) == [
        "      loss",
        " 4.0 ┤⠉⠒⠤⣀",
        "     │    ⠉⠒⠢⢄⡀",
        " 2.0 ┤        ⠈⠑⠢⠤⢄⣀⡀",
        " 1.0 ┤              ⠈⠉⠉⠒⠒⠢⠤⢄⣀ training 1.000",
        "     └ 1 ───── epoch ────── 3",
    ]


def test_a_line_of_one_point_is_a_mark_that_can_be_seen():
    rows = drawn(TRAINING, Line("held out", ((3, 2.5),), "yellow"))

    assert rows[3] == " 2.0 ┤        ⠈⠑⠢⠤⢄⣀⡀       ● held out 2.500"


@given(
    st.lists(st.lists(finite, min_size=1, max_size=9), min_size=1, max_size=3),
    st.integers(10, 120),
    st.integers(4, 12),
)
def test_whatever_is_drawn_stays_within_its_rows_and_columns(values, width, rows):
    lines = [Line(f"line {n}", tuple(enumerate(ys)), "") for n, ys in enumerate(values)]

    chart = drawn(*lines, width=width, rows=rows)

    assert len(chart) == rows + 2 or (chart == [] and width < 70)
    assert all(len(row) <= width for row in chart)
    assert sum(row.count("line") for row in chart) == (len(lines) if chart else 0)
