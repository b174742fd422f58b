"""The task that a space's skeleton asks for, on the data that is named."""

from runners.machine.device import Place
from runners.task.options import TaskOptions
from runners.task.task import Task


def find_task(skeleton: str, options: TaskOptions, place: Place) -> Task:
    """Text for recurrent networks, images for all others. Raises what reading the data raises."""
    if skeleton == "rnn":
        from runners.task.language import search_language

        return search_language(options, place)
    from runners.task.images import search_images

    return search_images(options, place)
