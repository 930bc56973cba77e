"""What a lesson puts on screen: live views of an object's bytes and numbers, and what they share.

Each is a widget that can be driven from code as well as by clicking, and leaves a static picture behind.
Nothing below :mod:`shmlab.panels` knows of widgets.
"""

from shmlab.panels.classroom import Classroom
from shmlab.panels.frames import FrameLoop
from shmlab.panels.grid import ByteGrid
from shmlab.panels.ipcs import IpcsView
from shmlab.panels.panel import Panel
from shmlab.panels.plot import LivePlot
from shmlab.panels.race import RacePlot
from shmlab.panels.ring import RingPanel, RingView
from shmlab.panels.scheduler import Scheduler
from shmlab.panels.schedules import tabulate
from shmlab.panels.statements import Statements
from shmlab.panels.walkthrough import Walkthrough

__all__ = [
    "ByteGrid",
    "Classroom",
    "FrameLoop",
    "IpcsView",
    "LivePlot",
    "Panel",
    "RacePlot",
    "RingPanel",
    "RingView",
    "Scheduler",
    "Statements",
    "Walkthrough",
    "tabulate",
]
