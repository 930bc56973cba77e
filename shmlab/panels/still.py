"""What stays of a panel without a kernel: a picture, or a table, and one sentence.

Every panel leaves them beside its widget, so that a stored notebook, an HTML export and a code-hosting page
show something true; a closed panel is nothing but them. Mixed into every widget that a lesson displays.
"""

import threading
from typing import Any

import ipywidgets

from shmlab.panels.moving import begin

DRAWING = threading.Lock()
"""Held while matplotlib draws: it's made for one thread, and frames are drawn on another than pictures."""

Bundle = tuple[dict[str, Any], dict[str, Any]]
"""What is displayed, by MIME type, and the metadata that belongs to it."""


class Still(ipywidgets.Widget):
    """To be inherited from before the widget's own class. Subclasses say what :meth:`_still` is."""

    @property
    def sentence(self) -> str:
        """What is shown right now, in words."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.sentence

    def picture(self) -> None:
        """Display what there is now as a picture that stays, and one sentence below it."""
        from IPython.display import display

        bundle, metadata = self._still()
        display(bundle, metadata=metadata, raw=True)
        if len(bundle) > 1:
            display({"text/plain": bundle["text/plain"]}, raw=True)

    def close(self) -> None:
        """Take it off the page; the picture stays. May be called twice."""
        try:
            super().close()
        finally:  # ipywidgets puts None there, and the picture were gone
            self.__dict__.pop("_repr_mimebundle_", None)

    # --- for subclasses ----------------------------------------------------------------------------------

    def _still(self) -> Bundle:
        """Return the picture and the sentence; ``"text/plain"`` alone when there is nothing to be seen."""
        raise NotImplementedError

    # --- what IPython asks -------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs: Any) -> Bundle:
        bundle, metadata = self._still()
        if self.comm is None:
            return bundle, metadata
        widget: Any = super()._repr_mimebundle_(**kwargs)
        begin(self)
        data, more = widget if isinstance(widget, tuple) else (widget, {})
        return data | bundle, more | metadata
