class UserError(Exception):
    """Something that the person at the terminal can put right; shown without a traceback."""
