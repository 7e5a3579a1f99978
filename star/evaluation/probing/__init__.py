"""Probes: short trainings on synthetic tasks, which show what a design learns to do.

Tasks come from `star.data.mad`; what is made of accuracies is the business of each objective.
"""

from star.evaluation.probing.recall_tasks import RecallTask as RecallTask
from star.evaluation.probing.recall_tasks import read_task as read_task
from star.evaluation.probing.training import accuracy as accuracy
from star.evaluation.probing.training import answer_loss as answer_loss
from star.evaluation.probing.training import answers as answers
from star.evaluation.probing.training import micro_accuracy as micro_accuracy
from star.evaluation.probing.training import train_on_instances as train_on_instances
