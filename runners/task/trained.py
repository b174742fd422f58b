"""The task that a trained network's skeleton asks for."""

from nasir import NasirError
from runners.data import load_images, load_text
from runners.experiment.recipe import Recipe
from runners.machine.device import Place
from runners.task.classify import Classify
from runners.task.dealt import Dealt
from runners.task.language import Dropout, Language, LanguageOptions
from runners.task.windows import VariedWindows


def training_task(skeleton: str, recipe: Recipe, dealt: Dealt, place: Place) -> Classify | Language:
    """Text for recurrent networks, images for all others.

    Raises what reading the data raises, and E753 where the recipe accumulates text.
    """
    if skeleton != "rnn":
        return Classify(load_images(dealt.data), recipe, dealt, place)
    text, train = recipe.text, recipe.train
    if train.accumulate > 1:
        message = f"text is not accumulated, and train.accumulate is {train.accumulate}"
        raise NasirError("E753", message, hint="a smaller train.batch")
    options = LanguageOptions(
        train.batch,
        dealt.seed,
        text.columns,
        text.test_columns,
        VariedWindows(text.bptt),
        Dropout(text.output, text.state, text.input, text.embedded, text.words),
        train.slowness,
        train.activation,
    )
    return Language(load_text(dealt.data, dealt.limit), options, place)
