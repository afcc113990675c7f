"""What the driver reports of a device, and what of it is the end of the device."""

import logging
from queue import Empty, SimpleQueue

import pytest

from fake_gpu_fixtures import ECC, LOST, XID, Machine, mig_uuid
from seqd.errors import DeviceLost
from seqd.local.pinning import slots_here
from seqd.local.slots import Slot
from seqd.worker.device_watch import DeviceWatch
from worker_fixtures import wait_until


class Watched:
    """A watch that notes what it is told."""

    def __init__(self, slot: Slot) -> None:
        self.told: SimpleQueue[DeviceLost] = SimpleQueue()
        self.watch = DeviceWatch(slot, self.told.put)
        self.watch.start()

    def reason(self) -> str:
        return str(self.told.get(timeout=120)).partition(" is lost: ")[2]


@pytest.fixture
def watched():
    made = []

    def watched(slot: Slot) -> Watched:
        made.append(Watched(slot))
        return made[-1]

    yield watched
    for one in made:
        one.watch.close()


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        (XID, 79, "XID 79, it has fallen off the bus."),
        (XID, 48, "XID 48, an uncorrectable memory error."),
        (XID, 119, "XID 119, its firmware does not answer."),
        (XID, 140, "XID 140, see docs.nvidia.com/deploy/xid-errors."),
        (ECC, 0, "an uncorrectable ECC error of its memory."),
    ],
)
def test_what_ends_a_device_is_told_once_with_its_reason(machine, watched, kind, data, reason):
    machine.add(1)
    one = watched(slots_here("gpu:0")[0])
    wait_for_registration(machine, one)

    machine.event(0, kind, data).event(0, kind, data)

    assert one.reason() == reason
    assert one.watch.has_lost_device()
    with pytest.raises(Empty):
        one.told.get(timeout=0.1)


def test_an_event_of_another_instance_of_its_gpu_is_none_of_it(machine, watched):
    machine.add(1).cut(0, mig_uuid(1), mig_uuid(2))
    other, own = (watched(slots_here(f"gpu:{mig_uuid(number)}")[0]) for number in (1, 2))
    for one in (other, own):
        wait_for_registration(machine, one)

    machine.event(0, XID, 95, instance=2)

    assert own.reason() == "XID 95, an uncontained memory error."
    assert other.told.empty()


def wait_for_registration(machine: Machine, one: Watched) -> None:
    """Wait until events reach the watch: one that ends nothing, said again and again."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("seqd.worker.device_watch")
    logger.addHandler(handler)
    try:
        wait_until(lambda: machine.event(0, XID, 43) and bool(records), "the watch reads events")
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("is_lost_before", [True, False])
def test_a_device_that_is_lost_without_an_event_is_noticed(machine, watched, is_lost_before):
    (slot,) = machine.add(1) and slots_here("gpu:0")
    if is_lost_before:
        machine.change(0, error=LOST)
    one = watched(slot)

    machine.change(0, error=LOST)

    assert one.reason() == "the driver says GPU is lost."


def test_an_error_that_the_device_survives_is_logged_alone(machine, watched, caplog):
    machine.add(1)
    one = watched(slots_here("gpu:0")[0])
    wait_for_registration(machine, one)
    survived = (8, 11, 13, 31, 43, 45, 68, 109, 63, 92, 94)

    for number in survived:
        machine.event(0, XID, number)

    wait_until(
        lambda: all(f"XID {number}: an error of" in caplog.text for number in survived),
        "all are logged",
    )
    assert one.told.empty()
    assert not one.watch.has_lost_device()
