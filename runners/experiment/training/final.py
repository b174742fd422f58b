"""What a training leaves at its end: weights, a summary, a confusion matrix."""

import json
from typing import Any, Literal

import lowering
import nasir
from lowering.torch.weights import pack
from nasir.quoting import json_text
from runners.experiment.size import size_facts
from runners.experiment.training.build import Built
from runners.experiment.training.trainer import Trainer
from runners.folder.run_folder import RunFolder
from runners.machine.arrays import listed
from runners.task import measure
from runners.task.accuracy import answers


def write_final(
    trainer: Trainer, built: Built, folder: RunFolder, best: int | None
) -> dict[str, Any]:
    """Measures the network as it is kept, and writes `weights.safetensors`, `summary.json` and, of
    pictures, `confusion.json`; the summary as plain data.
    """
    cost = nasir.cost(built.graph)
    summary: dict[str, Any] = {
        "genotype": built.genotype.name,
        "recipe": built.recipe.name,
        "size": size_facts(built.graph),
        "params": cost.params,
        "macs": cost.macs,
        "best_epoch": best,
    }
    for split in built.task.splits:
        with trainer.measuring():
            found = answers(built.task, split, "torch", trainer.run)
        summary[split] = dict(found.accuracy.measures)
        if built.task.name == "images" and split == built.task.splits[-1]:
            table = listed(found.confusion(len(_classes(built))))
            facts = {"split": split, "classes": list(_classes(built)), "counts": table}
            folder.write_final("confusion.json", f"{json.dumps(facts)}\n".encode())
    weights = trainer.weights()
    about = {
        "genotype": nasir.dump_genotype(built.genotype),
        "size": json.dumps(size_facts(built.graph)),
        "auxiliary": json.dumps(bool(built.recipe.train.auxiliary)),
        "recipe": built.recipe.name,
        "nasir": nasir.__version__,
    }
    folder.write_final("weights.safetensors", pack(weights, about))
    summary["latency"] = _latencies(trainer, built)
    text = json_text(summary, indent=2)
    folder.write_final("summary.json", f"{text}\n".encode())
    return summary


def _classes(built: Built) -> tuple[str, ...]:
    pictures: Any = built.task
    return pictures.pictures.classes


def _latencies(trainer: Trainer, built: Built) -> dict[str, float | Literal["eager"]]:
    """Seconds for one picture (of text: STEPS words), as it is and with batch norms folded."""
    with trainer.measuring():
        folded = lowering.to_inference(built.graph, trainer.module)
        folded = folded.to(built.place.device, built.place.dtype)
        inputs = tuple(
            x.to(built.place.device, built.place.dtype if x.is_floating_point() else x.dtype)
            for x in measure.example(built.graph, 1)
        )
        found = measure.measure({"eager": trainer.module, "folded": folded}, inputs)
    return {each.name: each.seconds for each in found}
