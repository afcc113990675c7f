"""What `seqd top` shows of a fleet: lines that fit the terminal, and say what is so."""

import re
from dataclasses import replace
from functools import partial
from time import monotonic

from builders import a_dead_letter
from cli_builders import a_record
from seqd.cli.top.frame import frame, page
from seqd.cli.top.reading import Away, History, TopState
from seqd.cli.top.view import VIEWS, View
from seqd.queue_states import WorkerCounts
from seqd_schemas import (
    PluginStatus,
    UnfitVersion,
    WorkerState,
    WorkTotals,
)
from top_builders import a_queue, a_state, a_worker

HOSTILE = "\x1b[2J\x9b31m\x07\u202e evil\ttext \N{CJK UNIFIED IDEOGRAPH-6F22}" * 9


a_failure = partial(a_dead_letter, id="58000-0", at_ms=58_000, items=4, message="It raised.")


def shown(state: TopState, view: View = View(), width: int = 80, height: int = 24) -> list[str]:  # noqa: B008
    return [line.plain.rstrip() for line in frame(state, view, width, height)]


def test_the_overview_says_how_fast_it_goes_what_waits_and_what_is_wrong():
    unfit = UnfitVersion(
        model="imdb_lstm", version=3, code="no_memory", message="2 GB are missing.", since_ms=0
    )
    reason = "No worker that is up has a plugin with the model topics."
    fields = {"state": "unserved", "eta_s": None, "workers": WorkerCounts()}
    lost = a_queue("topics", reason=reason, is_measured=False, **fields)
    state = a_state(
        queues=[a_queue(errors_per_s=0.5), lost],
        workers=[a_worker(state=WorkerState.BUSY), a_worker(1, unfit=(unfit,))],
        silent={"cpu:0@gone-1": 0},
        open_jobs=3,
    )

    lines = shown(state)

    assert lines[2:16] == [
        "speed     1,000 items/s, 30 errors/min",
        "workers   2 up: 1 busy, 1 unfit; 1 silent",
        "items     48,000 waiting, 2,048 in hand: ~1:40 of one slot",
        "jobs      3 open",
        "Redis     12.3 MB",
        "! No worker that is up can do all that waits of classify topics (24,000 items).",
        "  No worker that is up has a plugin with the model topics. Start a worker that …",
        "! Not heard of any more, and none is up in their place: 1 worker, cpu:0@gone-1",
        "  (60 s ago). Run `seqd doctor` on its machine, which looks at its process, and…",
        "! Worker gpu:1@host0-ab0001 (host here), 1 of 2, cannot run imdb_lstm@3:",
        "  no_memory: 2 GB are missing. Give the slot more memory, or have fewer models …",
        "",
        "task      model      state              waiting  items/s  errors/min  workers",
        "classify  imdb_lstm  moving              24,000      500          30  2",
    ]
    assert lines[16] == (
        "classify  topics     nobody can run it   24,000      500           -  none"
    )


def test_of_one_kind_ten_are_told_and_how_many_more_there_are():
    workers = [a_worker(number, stopped_pid=7) for number in range(12)]

    told = [line.plain for line in page(a_state(workers=workers), View(), width=400)]

    assert sum(line.startswith("! The process 7 of gpu:") for line in told) == 10
    assert (
        "! 2 further findings are of the kind worker-stopped. `seqd workers list`, `seqd models "
        "list` and `seqd queues` have all." in told
    )


def test_of_what_is_in_hand_a_version_that_nobody_can_run_is_told_apart_where_others_go_on():
    queues = [a_queue(reason="Held."), a_queue("topics", reason="Held.", workers=WorkerCounts())]

    lines = shown(a_state(queues=queues), View("queues"), width=120)

    assert [re.split(r"  +", line)[2] for line in lines if line.startswith("classify")] == [
        "a version: nobody can run it",
        "nobody can run it",
    ]


def test_while_redis_takes_no_writes_every_view_says_so_first_and_nobody_is_said_to_be_gone():
    full = a_state(
        queues=[a_queue("topics", state="unserved", reason="No worker is up.")],
        workers=[],
        no_writes="it has reached its maxmemory",
    )
    silent = a_state(workers=[], silent={"w1": 0}, no_writes="it has reached its maxmemory")
    unheard = a_state(
        unheard={"gpu:0@host0-ab0000": 75.0}, no_writes="it has reached its maxmemory"
    )

    for view in VIEWS:
        assert shown(full, View(view))[2].startswith(
            "Redis takes no writes (it has reached its max"
        )
    assert shown(full, View("workers"))[4:5] == ["No worker can report."]
    for state in (full, silent, unheard):
        assert not [line for line in shown(state) if line.startswith("!")]


def test_a_worker_that_is_up_and_reports_nothing_is_silent_and_stands_first():
    workers = [a_worker(), a_worker(1)]
    state = a_state(workers=workers, unheard={workers[1].worker: 75.0}, silent={"w1": 0})

    assert shown(state)[3] == "workers   2 up: 1 ready, 1 silent; 1 silent"
    assert [line.split()[:2] for line in shown(state, View("workers"))[3:6]] == [
        ["w1", "silent"],
        [workers[1].worker, "silent"],
        [workers[0].worker, "ready"],
    ]


def test_a_row_of_a_worker_has_its_host_also_of_one_that_is_gone():
    state = a_state(
        workers=[a_worker(worker="gpu-2", host="gpu7")], silent={"cpu:0@host-9-ab12": 0, "w1": 0}
    )

    rows = {line.split()[0]: line for line in shown(state, View("workers"), width=150)[2:6]}

    column = rows["worker"].index("host ")
    assert rows["gpu-2"][column:].split() == ["gpu7", "0.2.0"]
    assert rows["cpu:0@host-9-ab12"][column:].split() == ["host-9", "-"]
    assert rows["w1"][column:].split() == ["-", "-"]


def test_every_line_fits_every_size_also_with_hostile_text():
    plugin = PluginStatus(
        name="evil", distribution="d", version="1", state="broken", reason=HOSTILE[:400]
    )
    unfit = UnfitVersion(model="m", version=3, code="damaged", message=HOSTILE, since_ms=0)
    state = a_state(
        queues=[a_queue(HOSTILE, reason=HOSTILE, state="unserved", paused_items=7)],
        workers=[a_worker(plugins=(plugin,), unfit=(unfit,), worker=HOSTILE[:200])],
        silent={HOSTILE: 1},
        jobs=[a_record(job_id="j" * 128, tenant="t" * 64)],
        failures=[a_failure(message=HOSTILE)],
        failure_count=10**9,
    )
    state = replace(state, away=Away(monotonic(), HOSTILE))
    views = [View(name) for name in VIEWS]
    views += [View(search=HOSTILE), View(search="x", is_typing=True), View(is_help=True)]

    for view in views:
        for width, height in ((40, 20), (80, 24), (120, 40), (12, 4), (1, 1)):
            lines = frame(state, view, width, height)
            assert len(lines) == height
            assert max(line.cell_len for line in lines) <= width
            assert all(line.plain.isprintable() for line in lines)


def test_of_a_thousand_workers_those_in_trouble_come_first_and_the_rest_is_counted():
    unfit = UnfitVersion(model="m", version=3, code="damaged", message="", since_ms=0)
    workers = [a_worker(number) for number in range(1_000)]
    workers[700] = a_worker(700, unfit=(unfit,), versions={"other": (1,)})

    lines = shown(a_state(workers=workers), View("workers"))

    assert lines[3].startswith("gpu:4@host87-ab0700   ready, 1 unfit")
    assert lines[-2:] == [
        "and 981 more",
        "q quit  ? help  s sort: trouble  / filter  p pause",
    ]


def test_rows_are_scrolled_and_it_is_said_how_many_are_not_on_the_screen():
    state = a_state(workers=[a_worker(number) for number in range(100)])

    middle = shown(state, View("workers", scroll=50, sorts={"workers": 1}))
    end = shown(state, View("workers", scroll=10**6, sorts={"workers": 1}))

    assert middle[3].startswith("gpu:3@host8-ab0067") and middle[-2] == "rows 51 to 69 of 100"
    assert end[-3].startswith("gpu:7@host9-ab0079") and end[-2] == "rows 82 to 100 of 100"


def test_while_redis_is_away_it_says_since_when_and_shows_what_was_read_before(monkeypatch):
    now_s = 1_000.0
    monkeypatch.setattr("seqd.cli.top.frame.monotonic", lambda: now_s)
    away = Away(now_s - 12.4, "Redis does not answer.")
    state = replace(a_state(), away=away, read_at_s=now_s - 14)

    lines = shown(state, View("queues"))

    assert lines[0].endswith("Redis away since 12 s")
    assert lines[2] == "What is shown was read 14 s ago. Redis does not answer."
    assert lines[4].startswith("classify  imdb_lstm  moving")


def test_failures_are_the_dead_letters_those_with_one_cause_in_a_row():
    letters = [
        a_failure(),
        a_failure(id="50000-0", at_ms=50_000, job_id="j-2"),
        a_failure(
            id="40000-0", at_ms=40_000, code="worker_crashed", cause="hang", message="It ended."
        ),
    ]
    state = a_state(failures=letters, failure_count=1_000)

    lines = shown(state, View("failures"))

    assert lines[2:6] == [
        "last  code                  model     items  jobs  message",
        " 2 s  plugin_error          topics@3      8     2  It raised.",
        "20 s  worker_crashed, hang  topics@3      4     1  It ended.",
        "and 997 older dead letters that are not listed",
    ]


def test_a_filter_leaves_the_rows_with_its_text_and_says_where_there_is_none():
    state = a_state(queues=[a_queue("topics"), a_queue("Mood")])

    assert [line.split()[1] for line in shown(state, View("queues", search="mood"))[3:4]] == [
        "Mood"
    ]
    none = shown(state, View("queues", search="none"))
    assert none[2] == "No row has 'none': Esc ends the filter."


def test_rows_are_sorted_by_what_is_said_below():
    queues = [a_queue("a", work_left_s=1.0, waiting_items=9), a_queue("b", waiting_items=5)]

    by_work = shown(a_state(queues=queues), View("queues"))
    by_waiting = shown(a_state(queues=queues), View("queues", sorts={"queues": 1}))

    assert [line.split()[1] for line in by_work[3:5]] == ["b", "a"]
    assert [line.split()[1] for line in by_waiting[3:5]] == ["a", "b"]
    assert "s sort: waiting" in by_waiting[-1]


def test_a_worker_has_the_rate_of_the_last_15_seconds_and_lost_counts_are_none():
    history = History()
    rates = []
    for at_s, items in ((0, 1_000), (5, 2_000), (20, 5_000), (30, 5_100), (40, 0)):
        state = a_state(at_ms=at_s * 1_000, workers=[a_worker(work=WorkTotals(items=items))])
        assert state.overview is not None
        rates.append(history.add(state.overview))

    of_worker = [round(one.get("gpu:0@host0-ab0000", -1)) for one in rates]
    assert of_worker == [-1, -1, 200, 124, 0]
