"""What goes wrong in training, each in one line for a person: where, what and the mend."""


class TrainingError(Exception):
    """Base of the errors that this package raises on purpose."""


class RunError(TrainingError):
    """A run, or a teacher, cannot start or go on."""


class DataError(TrainingError):
    """Dialogues cannot be used: the file, the place and the mend."""


class CheckpointError(TrainingError):
    """A checkpoint, or what is to be made of it, cannot be read or written."""


class EvaluationError(TrainingError):
    """A model cannot be measured."""
