"""The page that patient and clinician look at together: words, pictures, template and script.

It shows plain data (`PatientPage`) that a recommendation gives, and knows neither models nor decisions;
`Recommendations.to_html` is the way to it.
"""

from treatsel.page._contents import Choice as Choice
from treatsel.page._contents import PageAnswer as PageAnswer
from treatsel.page._contents import PageCriterion as PageCriterion
from treatsel.page._contents import PageOutcome as PageOutcome
from treatsel.page._contents import PageQuestion as PageQuestion
from treatsel.page._contents import PatientPage as PatientPage
from treatsel.page._contents import Rules as Rules
from treatsel.page._render import render
from treatsel.page._strings import strings_of

__all__ = ["render", "strings_of"]
