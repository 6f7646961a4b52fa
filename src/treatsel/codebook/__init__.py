"""Codebooks: meaning, role and allowed values of each column of a patient table, and parsing of data."""

from treatsel.codebook._codebook import Codebook
from treatsel.codebook._comments import NO_VALUE as NO_VALUE
from treatsel.codebook._comments import ONE_VALUE as ONE_VALUE
from treatsel.codebook._direction import ATTRIBUTE as ATTRIBUTE
from treatsel.codebook._direction import SHIPPED as SHIPPED
from treatsel.codebook._direction import carried as carried
from treatsel.codebook._direction import direction_of as direction_of
from treatsel.codebook._direction import stated_for as stated_for
from treatsel.codebook._entered import as_entered as as_entered
from treatsel.codebook._entered import is_number as is_number
from treatsel.codebook._field import ROLES, TYPES, Field
from treatsel.codebook._files import MOST_FIELDS as MOST_FIELDS
from treatsel.codebook._leaks import follows_outcome as follows_outcome
from treatsel.codebook._record import RecordReader as RecordReader
from treatsel.codebook._safety import SAFETY_CODES as SAFETY_CODES
from treatsel.codebook._score import INPUTS as INPUTS
from treatsel.codebook._score import OPTIONS as OPTIONS
from treatsel.codebook._score import Target as Target
from treatsel.codebook._score import check_same_definition as check_same_definition
from treatsel.codebook._score import fixed_targets as fixed_targets
from treatsel.codebook._score import role_of as role_of
from treatsel.codebook._score import sources_of as sources_of
from treatsel.codebook._table import by_id as by_id
from treatsel.codebook._table import clean_covariates as clean_covariates
from treatsel.codebook._table import frame_of as frame_of
from treatsel.codebook._values import LARGEST as LARGEST
from treatsel.codebook._values import as_builtin as as_builtin
from treatsel.codebook._values import number_of
from treatsel.codebook._values import plain_record as plain_record
from treatsel.codebook._values import too_large as too_large

__all__ = ["ROLES", "TYPES", "Codebook", "Field", "number_of"]
