"""ImageNet: folders of pictures that are decoded as batches ask for them."""

import hashlib

from nasir import NasirError, Where
from runners.data.files import picture_files
from runners.data.folders import layout_of
from runners.data.name import FOLDERS, DataName
from runners.data.photos import PictureFiles
from runners.data.pictures import PictureSet
from runners.data.split import mixed

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As torchvision documents it for its networks."""

SIDE = 224


def read_imagenet(name: DataName) -> PictureSet:
    """`train/CLASS` and `val/CLASS` in any number and size; looks at names and sizes of files only.

    The fingerprint is over those. Raises E701, E702, E703; batches raise E704.
    """
    path = name.path
    assert path is not None, "a name that parse_data has let through"
    if not path.is_dir():
        message = "the folder is not there; nothing is downloaded"
        hint = f"imagenet:PATH with {FOLDERS['imagenet']}"
        raise NasirError("E701", message, Where(str(path)), hint)
    layout = layout_of(path, list(picture_files(path)))
    classes: tuple[str, ...] = layout.classes
    if len(classes) < 2:
        message = f"all training pictures are of one class, '{''.join(classes)}'"
        raise NasirError("E703", message, Where(str(path)), "a classifier needs two or more")
    digest = hashlib.sha256("\0".join(layout.classes).encode(errors="surrogateescape"))
    parts: list[PictureFiles] = []
    for names in (layout.train, layout.test):
        order = mixed(layout.labels(names)) if names else layout.labels(names)
        chosen = tuple(names[int(i)] for i in order)
        for file in chosen:
            text = f"{file}\0{(path / file).stat().st_size}\0"
            digest.update(text.encode(errors="surrogateescape"))
        files = tuple(path / file for file in chosen)
        parts.append(PictureFiles(files, layout.labels(chosen), name.resolution or SIDE))
    test = parts[1] if layout.test else None
    return PictureSet("imagenet", layout.classes, parts[0], test, *IMAGENET, digest.hexdigest())
