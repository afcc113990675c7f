"""The walk that takes all steps."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from model.adapter import SERVED
from model.client_rules import SUBMITTED, ClientRules
from model.file_rules import FileRules
from model.machine import TTL_S
from model.people_rules import PeopleRules
from model.time_rules import TimeRules
from model.training_rules import TrainingRules
from model.worker_rules import WORKERS, WorkerRules


class Walk(ClientRules, WorkerRules, FileRules, TrainingRules, PeopleRules, TimeRules):
    """All rules together, beginning with some work that is under way."""

    @initialize(first=SUBMITTED, second=SUBMITTED, size=st.sampled_from([1, 4, 5, 9]))
    def begin_with_work(
        self, first: dict[str, object], second: dict[str, object], size: int
    ) -> None:
        self.classify(asked=first, size=size, lost=0)
        self.begin_upload(asked=second, size=3, lost=0)
        self.classify_file(tenant="north", units=None, lost=0)
        for _ in range(2):
            self.claim(worker="worker-a", served=SERVED, lost=0)

    @rule(worker=WORKERS, size=st.sampled_from([24, 40]))
    def share_the_workers(self, worker: str, size: int) -> None:
        """Have two tenants hand in much that is alike, and work until nothing is left."""
        asked = {"model": "imdb_lstm", "priority": "normal"}
        for tenant in TTL_S:
            self.classify(asked={"tenant": tenant, **asked}, size=size, lost=0)
        self.work_until_nothing_is_left(worker=worker)
