"""What each key of `seqd top` does."""

from dataclasses import replace

import pytest

from seqd.cli.top.view import VIEWS, View, pressed


def after(*keys: str, view: View = View(), rows: int = 30) -> View:  # noqa: B008
    for key in keys:
        view = pressed(view, key, rows)
    return view


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("tab",), "queues"),
        (("right", "right", "left"), "queues"),
        (("s-tab",), "failures"),
        (("4",), "jobs"),
        (("9",), "overview"),
    ],
)
def test_numbers_tab_and_arrows_choose_the_view(keys, name):
    assert after(*keys).name == name


def test_rows_are_scrolled_to_the_last_and_back_to_the_first():
    assert after("down", "pagedown", "up").scroll == 10
    assert after("end", "down").scroll == 30
    assert after("end", "home", "up").scroll == 0
    assert after("down", rows=0).scroll == 0
    assert after("down", "3").scroll == 0


def test_a_filter_is_typed_kept_by_enter_and_ended_by_esc():
    typed = after("/", "q", "1", "x", "backspace", "tab")

    assert (typed.search, typed.is_typing, typed.name) == ("q1", True, "overview")
    kept = after("enter", view=typed)
    assert (kept.search, kept.is_typing) == ("q1", False)
    assert after("escape", view=kept).search == ""
    assert after("escape", view=typed) == View()
    assert len(after("/", *"x" * 500).search) == 64


def test_s_goes_through_what_a_view_can_be_sorted_by_and_begins_again():
    assert [after(*"s" * times, view=View("failures")).sort for times in range(4)] == [
        "newest",
        "items",
        "code",
        "newest",
    ]
    # Each view keeps its own.
    assert after("s", "2", "1").sort == "waiting"


def test_p_pauses_the_display_and_help_goes_with_any_key():
    assert after("p").is_paused and not after("p", " ").is_paused
    assert after("?").is_help and after("?", "2") == View()


@pytest.mark.parametrize("key", ["q", "c-c"])
def test_q_and_ctrl_c_end_it_and_while_a_filter_is_typed_q_is_a_letter(key):
    assert after(key).has_ended
    assert all(after(key, view=View(name)).has_ended for name in VIEWS)
    assert after(key, view=replace(View(), is_typing=True)).has_ended == (key == "c-c")
