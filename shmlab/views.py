"""Who else looks at a memory: what `munmap` and `shmdt` ask before they take it away.

Imported by `shmlab.posix.mappings` and `shmlab.sysv.attachments`. Knows memoryviews and nothing of what is
underneath them.
"""

import gc
import sys


def released(view: memoryview) -> bool:
    """Tell whether *view* was released, and can't be used any more."""
    try:
        view.readonly  # noqa: B018  the cheapest question that a released view refuses
    except ValueError:
        return True
    return False


def _holders(view: memoryview) -> int:
    # All memoryviews of one buffer (slices, casts) refer to one "managed buffer", and to nothing else.
    return sys.getrefcount(gc.get_referents(view)[0])


_ONE_HOLDER = _holders(memoryview(b""))


def shared(view: memoryview) -> bool:
    """Tell whether other memoryviews show what *view* shows.

    CPython says so only by refusing to close what is underneath once *view* is released, and a released view
    can't be brought back: a munmap or shmdt that is refused would take `buf` from whoever holds it.
    """
    if _holders(view) <= _ONE_HOLDER:
        return False
    others = (other for other in gc.get_referrers(*gc.get_referents(view)) if type(other) is memoryview)
    return any(other is not view and not released(other) for other in others)
