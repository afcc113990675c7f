"""Removes what killed workers have left in `run/`, where nobody else did."""

import logging

from seqd.local.run_files import RunFolder
from seqd.settings import Settings
from seqd.worker.background import PeriodicTask
from seqd.worker.channel import HeartbeatFile

log = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_EVERY_S = 60.0


class RunGarbage(PeriodicTask):
    """Looks for files of workers that were killed and whose names never came back."""

    def __init__(self, settings: Settings, heartbeat: HeartbeatFile) -> None:
        """`heartbeat` is this worker's own, by which it reads the file system's clock."""
        super().__init__("removal of run files", LOOK_EVERY_S)
        self._folder = RunFolder(settings.data_dir)
        self._heartbeat = heartbeat

    def run_once(self) -> None:
        """Remove the files of workers that have been silent for a day."""
        now_s = self._heartbeat.written_s()
        if now_s is None:
            return  # this worker has just begun
        removed = self._folder.remove_left_behind(now_s)
        if removed:
            log.info("removed files of workers that ended long ago: %s", ", ".join(removed))
