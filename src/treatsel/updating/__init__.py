"""Applying an update: a selector recalibrated to new patients, with the record that its file keeps."""

from treatsel.updating._record import changes_of as changes_of
from treatsel.updating._result import OutcomeUpdate, SelectorUpdate
from treatsel.updating._update import METHODS as METHODS
from treatsel.updating._update import update_selector

__all__ = ["OutcomeUpdate", "SelectorUpdate", "update_selector"]
