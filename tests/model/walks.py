"""The walk that takes all steps."""

from model.client_rules import ClientRules
from model.file_rules import FileRules
from model.people_rules import PeopleRules
from model.training_rules import TrainingRules
from model.worker_rules import WorkerRules


class Walk(ClientRules, WorkerRules, FileRules, TrainingRules, PeopleRules):
    """All rules together."""
