"""How one sees that the memory was full; the same for a student's code and a check."""

# How torch says it.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException, text: str) -> bool:
    """Whether Python or torch found no memory.

    Args:
        error: an exception.
        text: its own text, which not every exception gives willingly.
    """
    if isinstance(error, RuntimeError):
        return any(part in text for part in OUT_OF_MEMORY)
    return isinstance(error, MemoryError)
