"""Records of the gateway: who may ask it for what."""

from enum import StrEnum


class KeyRole(StrEnum):
    """What the holder of a key may do; each role may do what those before it may."""

    READ = "read"
    """See the jobs, files and models of its tenant."""
    SUBMIT = "submit"
    """Hand in its tenant's jobs and files, cancel and remove them."""
    OPERATE = "operate"
    """Pause, resume and retry its tenant's jobs, and change its models."""
    ADMIN = "admin"
    """All of that for every tenant."""

    def may(self, needed: "KeyRole") -> bool:
        """Return whether it includes another role."""
        roles = list(KeyRole)
        return roles.index(self) >= roles.index(needed)
