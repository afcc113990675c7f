"""What each role of a key may do, said once for pages and commands."""

from typing import Final

ROLES: Final = {
    "read": "see its tenant's jobs and models",
    "submit": "see, hand in, cancel and remove its tenant's jobs; try models",
    "operate": "do all to its tenant's jobs, and promote its models",
    "admin": "do all for every tenant; workers and keys",
}
