"""A process that dies of a fault below Python leaves no picture of its memory, where tokens lie open."""

import resource


def leave_no_core_file() -> None:
    """From now on, in this process and those it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
