"""The one error the genome package raises for a user's mistake."""


class GenomeError(ValueError):
    """A genome, genome file or model size that cannot be used; the message is one line that says
    how to fix it."""
