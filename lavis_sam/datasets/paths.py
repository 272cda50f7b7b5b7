"""Paths that strangers wrote: into annotations, manifests and tar files."""


def leaves_root(path: str) -> bool:
    """Whether a path with `/` between its parts is absolute or climbs with `..`, even if it stays inside in the end."""
    return path.startswith("/") or ".." in path.split("/")
