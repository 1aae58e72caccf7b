"""What the builders of published data sets have in common."""


def manual_path(dl_manager, names):
    """Return the first of `names` that the manual directory has, or None."""
    try:
        folder = dl_manager.manual_dir
    except AssertionError:  # tfds: there is no such directory, or it is empty
        return None
    return next((folder / name for name in names if (folder / name).exists()), None)


def release_folder(dl_manager, url, inside, given):
    """Return the folder of a release's files: from the manual directory, else downloaded.

    Args:
        dl_manager: the `DownloadManager` of tfds.
        url: the address of the archive.
        inside: the folder in the archive.
        given: {name: folder in it}: folders that may be in the manual directory, not the archive.
    """
    archive = url.rpartition("/")[2]
    path = manual_path(dl_manager, (*given, archive))
    if path is None:
        return dl_manager.download_and_extract(url) / inside
    if path.name == archive:
        return dl_manager.extract(path) / inside
    return path / given[path.name]


def check_counts(source, counts, expected):
    """Raise a ValueError unless a release has as many examples as its paper says."""
    if counts != expected:
        raise ValueError(
            f"{source} must have {expected} examples, it has {counts}: it is another release, or "
            "not complete"
        )
