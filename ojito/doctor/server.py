"""Examinations of a server."""


def examine_server() -> None:
    """To be written."""
