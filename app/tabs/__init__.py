"""The tabs of the page, in the order in which they are shown."""

from app.tabs import about, compare, infill, watch
from app.tabs.base import Tab

TABS: tuple[Tab, ...] = (watch.TAB, infill.TAB, compare.TAB, about.TAB)
