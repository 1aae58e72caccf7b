"""What the builders of published data sets have in common."""


def manual_path(dl_manager, names):
    """Return the first of `names` that the manual directory has, or None."""
    try:
        folder = dl_manager.manual_dir
    except AssertionError:  # tfds: there is no such directory, or it is empty
        return None
    return next((folder / name for name in names if (folder / name).exists()), None)


def check_counts(source, counts, expected):
    """Raise a ValueError unless a release has as many examples as its paper says."""
    if counts != expected:
        raise ValueError(
            f"{source} must have {expected} examples, it has {counts}: it is another release, or "
            "not complete"
        )
