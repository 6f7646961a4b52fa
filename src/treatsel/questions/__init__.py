"""Questions: which missing answer is worth asking for, by the expected value of information."""

from treatsel.questions._next_question import next_question
from treatsel.questions._normal import (
    evpi_of_arms,
    evpi_of_difference,
    evsi_of_difference,
    p_best_of_arms,
)
from treatsel.questions._question_tree import question_tree
from treatsel.questions._result import NextQuestion
from treatsel.questions._tree_result import QuestionTree
from treatsel.questions._values import value_of_answers

__all__ = [
    "NextQuestion",
    "QuestionTree",
    "evpi_of_arms",
    "evpi_of_difference",
    "evsi_of_difference",
    "next_question",
    "p_best_of_arms",
    "question_tree",
    "value_of_answers",
]
