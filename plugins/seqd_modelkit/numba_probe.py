"""Says whether kernels can be compiled here."""


def can_compile() -> bool:
    """Return whether Numba can be imported: it is installed, and made for this NumPy."""
    try:
        import numba  # noqa: F401  only whether it can be
    except ImportError:
        return False
    return True
